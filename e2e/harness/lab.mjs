// A Lab holds what all tests of a run share: the servers (one for each mode), the pages, the browsers. An
// Interview is one test's room with its people.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync, copyFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { loadavg, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Browsers } from './browsers.mjs'
import { startPages } from './pages.mjs'
import { Person } from './person.mjs'
import { startPath } from './path.mjs'
import { startProxy } from './proxy.mjs'
import { Recordings } from './recordings.mjs'
import { here, startServer } from './server.mjs'
import { Sockets } from './socketio.mjs'

// A scenario takes 6 to 20 s on an idle machine; past this it is ended, so that its pages do not slow the next one.
const SCENARIO_MS = 150_000

export const outDir = path.join(here, 'out')

export class Lab {
  #servers = new Map() // mode -> Promise<server>
  #pages = null
  #browsers = new Browsers()
  #times = []
  #figures = []

  server (mode) {
    if (!this.#servers.has(mode)) this.#servers.set(mode, startServer({ mode, outDir }))
    return this.#servers.get(mode)
  }

  async interview (settings) {
    this.#pages ??= startPages()
    return new Interview(settings, await this.server(settings.mode), await this.#pages, this.#browsers, { times: this.#times, figures: this.#figures })
  }

  // run plays a scenario in an interview of its own; if it fails, all that is known is left under out/.
  async run (scenario, settings, { keep = false } = {}) {
    const interview = await this.interview(settings)
    const deadline = new AbortController()
    try {
      const late = sleep(SCENARIO_MS, null, { signal: deadline.signal }).then(() => {
        throw new Error(`the scenario took longer than ${SCENARIO_MS} ms`)
      })
      late.catch(() => {})
      await Promise.race([scenario.run(interview), late])
      if (keep) await interview.dump(null)
    } catch (err) {
      const folder = await interview.dump(err)
      err.message += `\n(server log, page consoles and counters: ${folder}; load average ${loadavg()[0].toFixed(1)})`
      throw err
    } finally {
      deadline.abort()
      await interview.close()
    }
  }

  // times are the durations the scenarios noted, as [name, mode, milliseconds].
  get times () {
    return this.#times
  }

  // figures are other things that scenarios measured, a line each.
  get figures () {
    return this.#figures
  }

  async stop () {
    await this.#browsers.stop()
    if (this.#pages) await (await this.#pages).stop()
    for (const started of await Promise.allSettled(this.#servers.values())) await started.value?.stop()
  }
}

export class Interview {
  #pages
  #browsers
  #noted
  #people = []
  #proxies = [] // and what else has to be stopped
  #folder = null // of recordings
  #all = [] // everyone who was ever here, for the dump

  constructor (settings, server, pages, browsers, noted) {
    const { scenario, style, mode, recruiter = 'chromium', candidate = 'chromium', variant = 'once' } = settings
    Object.assign(this, { scenario, style, mode, variant, server, browserOf: { recruiter, candidate } })
    this.room = `e2e-${randomUUID()}`
    this.#pages = pages
    this.#browsers = browsers
    this.#noted = noted
  }

  get relay () {
    return this.mode === 'relay'
  }

  // join brings in a person of the interview's style. `options` overrides style, browser, browsers, extra, variant,
  // server, room, fps; `claps`: its camera flashes and its microphone beeps; `first` and `only` are formats that the page prefers, and the only ones of their kind that it has;
  // `ice: 'own'` lets it use the ICE servers that such pages have by themselves, instead of none.
  async join (role, name, options = {}) {
    const style = options.style ?? this.style
    const browser = options.browser ?? this.browserOf[role]
    const url = new URL(`${this.#pages.url}/${style}.html`)
    url.search = new URLSearchParams({
      server: options.server ?? this.server.url,
      room: options.room ?? this.room,
      role,
      variant: options.variant ?? this.variant,
      extra: options.extra ?? 0,
      ice: options.ice ?? '',
      first: options.first ?? '',
      only: options.only ?? '',
      claps: options.claps ? 1 : ''
    })
    const { page, close } = await (options.browsers ?? this.#browsers).newPage(browser, { fps: options.fps })
    const person = new Person({ name, role, style, browser, page, close, url: url.href })
    this.#people.push(person)
    this.#all.push(person)
    return person.open()
  }

  async proxy () {
    const proxy = await startProxy(this.server.url)
    this.#proxies.push(proxy)
    return proxy
  }

  // path is a way to the server with a bad network on it, for one person: join with {server: path.url}.
  async path (directions) {
    const path = await startPath(this.server, directions)
    this.#proxies.push(path)
    return path
  }

  // records has the interview be on a server of its own, which records into an empty folder. `env` adds SKILLSAGE_ variables; `where` leads
  // to the folder as seen from here, given the server and the folder as the server sees it. `again`: on the port and in the folder of the last one.
  async records ({ env = {}, enter, dir = null, where = (server, folder) => folder, again = false } = {}) {
    if (!again) this.#folder = dir ?? mkdtempSync(path.join(tmpdir(), 'e2e-recordings-'))
    this.server = await startServer({
      mode: this.mode, outDir, enter, port: again ? this.server.port : null, env: { SKILLSAGE_RECORDING_DIR: this.#folder, SKILLSAGE_RECORDING_MIN_FREE: '1MiB', ...env }
    })
    this.#proxies.push(this.server)
    this.recordings = new Recordings(where(this.server, this.#folder))
  }

  // controls joins a socket as a recruiter's page does for its chat, which knows of recordings.
  async controls (room = this.room) {
    const sockets = new Sockets(this.server)
    sockets.room = room
    this.#proxies.push({ stop: () => sockets.close() })
    return Object.assign(await sockets.join('recruiter', { showsRecording: true }), { room })
  }

  // player is a page that shows files.
  async player () {
    const { page, close } = await this.#browsers.newPage('chromium')
    this.#proxies.push({ stop: close })
    return page
  }

  // note records a duration for the closing table; nothing is asserted about it.
  note (what, ms) {
    this.#noted.times.push({ what, style: this.style, mode: this.mode, ms: Math.round(ms), load: loadavg()[0] })
  }

  // say records a line of figures for the end; nothing is asserted about it.
  say (line) {
    this.#noted.figures.push(line)
  }

  async dump (err) {
    const { recruiter, candidate } = this.browserOf
    const name = [this.scenario, this.style, this.variant, this.mode, recruiter, candidate].join('-')
    const folder = path.join(outDir, name)
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    if (err) writeFileSync(path.join(folder, 'error.txt'), `${err.stack}\nroom ${this.room}\n`)
    if (this.server.logFile) copyFileSync(this.server.logFile, path.join(folder, 'server.log'))
    this.recordings?.all().forEach(({ manifest }, n) => writeFileSync(path.join(folder, `interview-${n}.json`), JSON.stringify(manifest, null, 2)))
    for (const person of this.#all) {
      writeFileSync(path.join(folder, `${person.name}-console.txt`), person.console.join('\n') + '\n')
      const probe = await person.probe().catch(probeError => ({ probeError: String(probeError) }))
      writeFileSync(path.join(folder, `${person.name}-probe.json`), JSON.stringify({ id: person.id, ...probe }, null, 2))
    }
    return path.relative(process.cwd(), folder)
  }

  async close () {
    const people = this.#people.splice(0)
    await Promise.allSettled(people.map(person => person.close()))
    await Promise.allSettled(this.#proxies.splice(0).map(proxy => proxy.stop()))
    if (this.#folder) rmSync(this.#folder, { recursive: true, force: true })
  }
}
