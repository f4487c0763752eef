// A person in an interview: one page of one client style in one browser.

import { until } from './until.mjs'

export class Person {
  #page
  #close
  #url

  constructor ({ name, role, style, browser, page, close, url }) {
    Object.assign(this, { name, role, style, browser })
    this.id = null // the Socket.IO socket id, known once joined
    this.console = []
    this.#page = page
    this.#close = close
    this.#url = url
    page.on('console', message => this.#note(`${message.type()}: ${message.text()}`))
    page.on('pageerror', err => this.#note(`uncaught: ${err}`))
  }

  #note (line) {
    if (this.console.length < 5000) this.console.push(`${new Date().toISOString().slice(11, 23)} ${line}`)
  }

  // open loads the page and waits until its socket is in the room (and a recruiter's camera is on).
  async open () {
    await this.#page.goto(this.#url)
    await this.#waitForRoom(null)
    return this
  }

  // reload is what F5 does; the person has a new id afterwards.
  async reload () {
    const before = this.id
    await this.#page.reload()
    await this.#waitForRoom(before)
  }

  // rejoined waits until the page, still the same, is in the room under a new id.
  rejoined () {
    return this.#waitForRoom(this.id)
  }

  async #waitForRoom (before) {
    this.id = await until(`${this.name} is in the room`, () => this.#page.evaluate(old => {
      const id = window.call?.id()
      return id && id !== old && id in window.call.people() && (window.call.ready?.() ?? true) && id
    }, before), { timeout: 30_000, interval: 50, describe: () => this.console.slice(-3).join(' / ') })
  }

  probe () {
    return this.#page.evaluate(() => window.probe())
  }

  // measure calls a function of the page's window.measure.
  measure (name, ...args) {
    return this.#page.evaluate((what, list) => window.measure[what](...list), name, args)
  }

  // does calls a method of the page's client.
  does (method, ...args) {
    return this.#page.evaluate((name, list) => window.call[name](...list), method, args)
  }

  // clap calls a method of the page's clapper, of one that joined with `claps`.
  clap (method, ...args) {
    return this.#page.evaluate((name, list) => { window.claps[name](...list) }, method, args)
  }

  // share clicks, because a browser only gives the screen to a user's gesture.
  async share () {
    await this.#page.click('#share')
    await until(`${this.name} shares`, async () => (await this.probe()).sharing)
  }

  stopShare () {
    return this.does('stopShare')
  }

  leave () {
    return this.does('leave')
  }

  async events (name) {
    return (await this.probe()).events.filter(event => event.name === name)
  }

  waitFor (what, check, options = {}) {
    let last = null
    return until(`${this.name}: ${what}`, async () => {
      last = await this.probe()
      return check(last)
    }, { describe: () => summary(last), ...options })
  }

  async close () {
    await this.#close()
  }
}

// summary fits a probe on a line.
export function summary (probe) {
  if (!probe) return 'nothing'
  const streams = Object.entries(probe.streams).map(([key, s]) =>
    `${key} (${s.streamId.slice(0, 8)}: ${s.tracks.join(', ')}; ${s.element}) ${s.width}x${s.height} decoded ${s.framesDecoded} shown ${s.shownFrames} audio ${s.audioPackets} energy ${s.audioEnergy.toFixed(3)}`)
  const links = probe.connections.map(c => `${c.state}/${c.signaling} [${c.transceivers.join(' ')}]`)
  return `streams {${streams.join('; ')}} connections {${links.join('; ')}} error ${probe.error}`
}
