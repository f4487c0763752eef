// One process per kind of browser, started when first needed and shared by all tests of a place; each person gets
// a browsing context of their own.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import puppeteer from 'puppeteer-core'

export const binaries = {
  chromium: process.env.E2E_CHROMIUM ?? '/usr/bin/chromium',
  firefox: process.env.E2E_FIREFOX ?? '/usr/bin/firefox-esr'
}

// Frames per second of the fake cameras. 10 are enough to see that a picture moves; encoding is what these tests spend
// their time on. Real cameras give 30.
const FPS = 10

// Firefox has no fake screen, so it captures a real one: that of a virtual X server.
async function startDisplay () {
  const server = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '640x480x24', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe']
  })
  const failed = once(server, 'error').then(([err]) => { throw new Error(`Xvfb: ${err.message}`) })
  const [number] = await Promise.race([once(server.stdio[3], 'data'), failed])
  failed.catch(() => {})
  return { name: `:${String(number).trim()}`, stop: () => server.kill() }
}

// A place is where a browser runs if not simply here: `programs` run it there (by kind), and it has further `env`,
// `args` of Chromium, `prefs`, a `profile` folder and a remote control `port` of Firefox.
const launchers = {
  async chromium (fps, { programs = binaries, env = {}, args = [] }) {
    const browser = await puppeteer.launch({
      executablePath: programs.chromium,
      headless: true,
      pipe: true,
      env: { ...process.env, ...env },
      args: [
        '--no-sandbox',
        `--use-fake-device-for-media-stream=fps=${fps}`,
        '--use-fake-ui-for-media-stream', // permits camera, microphone and screen without asking
        '--autoplay-policy=no-user-gesture-required',
        '--disable-background-timer-throttling',
        '--disable-backgrounding-occluded-windows',
        '--disable-renderer-backgrounding',
        '--disable-features=InitialWebUI,WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIToolbar', // a process per window, for nothing
        '--mute-audio',
        ...args
      ]
    })
    return { browser, stop: () => browser.close() }
  },

  async firefox (fps, { programs = binaries, env = {}, prefs = {}, profile, port }) {
    const display = await startDisplay()
    try {
      const browser = await puppeteer.launch({
        browser: 'firefox',
        executablePath: programs.firefox,
        headless: false,
        userDataDir: profile,
        debuggingPort: port,
        env: { ...process.env, ...env, DISPLAY: display.name },
        extraPrefsFirefox: {
          'media.navigator.permission.disabled': true,
          'media.navigator.streams.fake': true,
          'media.navigator.video.default_fps': fps,
          'media.autoplay.default': 0,
          'media.cubeb.backend': 'null', // no sound card here, and none is needed
          'dom.timeout.enable_budget_timer_throttling': false,
          'dom.min_background_timeout_value': 4,
          'media.suspend-background-video.enabled': false,
          ...prefs
        }
      })
      return { browser, stop: async () => { await browser.close(); display.stop() } }
    } catch (err) {
      display.stop()
      throw err
    }
  }
}

export class Browsers {
  #place
  #running = new Map() // kind and frame rate -> Promise<{browser, stop}>

  constructor (place = {}) {
    this.#place = place
  }

  async newPage (kind, { fps = FPS } = {}) {
    if (!existsSync(binaries[kind])) throw new Error(`${binaries[kind]} is missing (the Debian package of ${kind})`)
    const name = `${kind} ${fps}`
    if (!this.#running.has(name)) this.#running.set(name, launchers[kind](fps, this.#place))
    const { browser } = await this.#running.get(name)
    const context = await browser.createBrowserContext()
    const page = await context.newPage(kind === 'firefox' ? { type: 'window' } : undefined)
    return { page, close: () => context.close() }
  }

  async stop () {
    const running = [...this.#running.values()]
    this.#running.clear()
    for (const launched of await Promise.allSettled(running)) await launched.value?.stop()
  }
}
