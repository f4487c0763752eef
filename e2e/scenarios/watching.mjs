// Recorded interviews are watched: on the page that a link leads to, and on the operator's.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { receiveEachOther, receives } from '../harness/media.mjs'
import { median } from '../harness/recordings.mjs'
import { until } from '../harness/until.mjs'

const TOKEN = 'a-token-of-the-browser-tests'
const APART_MS = 100 // between the pictures of one moment

// Operator asks the API below /admin/.
class Operator {
  constructor (server) {
    this.url = `${server.url}/admin/`
  }

  async ask (method, path, body) {
    const response = await fetch(`${this.url}api/${path}`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, ...(body && { 'content-type': 'application/json' }) },
      body: body && JSON.stringify(body)
    })
    const answer = response.status === 204 ? null : await response.json()
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${JSON.stringify(answer)}`)
    return answer
  }
}

const says = (page, text) => until(`the page says "${text}"`, () => page.evaluate(wanted => document.body.innerText.includes(wanted), text),
  { timeout: 20_000, describe: () => page.url() })
const clicks = (page, label) => page.locator(`::-p-aria([name="${label}"][role="button"])`).click()
const position = page => page.$eval('.scrubber', range => Number(range.value))

// inSync plays for a while and returns how far the pictures of one moment are apart, in ms, and how many there are.
const inSync = page => page.evaluate(async ms => {
  const videos = [...document.querySelectorAll('.tile:not([hidden]) video:not(.unseen)')]
  const offsets = videos.map(() => [])
  let over = false
  videos.forEach((video, n) => {
    const note = (now, { mediaTime, expectedDisplayTime }) => {
      offsets[n].push(mediaTime - expectedDisplayTime / 1000)
      if (!over) video.requestVideoFrameCallback(note)
    }
    video.requestVideoFrameCallback(note)
  })
  await new Promise(resolve => setTimeout(resolve, ms))
  over = true
  return offsets
}, 2500)

export const watched = {
  name: 'watched',
  title: 'an interview recorded over HTTP plays on the page of a link: all pictures of a moment within 100 ms, seeks, chat; the operator lists and deletes it',
  modes: ['relay'],
  styles: ['stock-hook'],
  needs: { skillsage: true },
  async run (interview) {
    await interview.records({
      env: { SKILLSAGE_RECORDING_MODE: 'on-request', SKILLSAGE_ADMIN_PUBLIC: 'true', SKILLSAGE_ADMIN_TOKEN: TOKEN, SKILLSAGE_ADMIN_LISTEN: '' }
    })
    const operator = new Operator(interview.server)
    const control = await interview.controls()
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(recruiter, candidate)
    await operator.ask('POST', 'recorder/start', { interview: interview.room })
    await until('it is recorded', async () => (await operator.ask('GET', `recorder?interview=${encodeURIComponent(interview.room)}`)).state === 'recording')
    await sleep(1500)
    control.emit('chat-message', { interviewId: interview.room, content: 'Please share your screen', userRole: 'recruiter' })
    await candidate.share()
    await receives(recruiter, candidate, { screen: true })
    await sleep(7000)
    await operator.ask('POST', 'recorder/stop', { interview: interview.room })
    const { manifest } = await interview.recordings.one(interview.room, 'finished')

    const { path } = await operator.ask('POST', `recordings/${manifest.id}/links`, {})
    const page = await interview.player()
    const complaints = []
    page.on('pageerror', err => complaints.push(String(err)))
    page.on('console', message => message.type() === 'error' && complaints.push(message.text()))
    await page.goto(interview.server.url + path)
    await page.waitForSelector('.theatre')
    assert.ok(!(await page.content()).includes(interview.room), 'the page of a link tells the id of the interview')
    const shared = manifest.files.find(({ kind }) => kind === 'screen').start
    await page.evaluate(at => {
      const range = document.querySelector('.scrubber')
      Object.getOwnPropertyDescriptor(window.HTMLInputElement.prototype, 'value').set.call(range, at)
      range.dispatchEvent(new Event('input', { bubbles: true }))
    }, shared + 1)
    await clicks(page, 'Play')
    await until('three pictures play', () => page.$$eval('.tile:not([hidden]) video:not(.unseen)', all => all.length === 3 && all.every(video => !video.paused && !video.seeking && video.videoWidth > 0)),
      { timeout: 20_000, describe: () => JSON.stringify(complaints) })
    await sleep(1500) // until all have found the pace
    const offsets = await inSync(page)
    // A screen on which nothing moves has few frames.
    const seen = offsets.filter(all => all.length >= 3).map(median)
    assert.ok(seen.length >= 2, `${offsets.map(all => all.length)} frames`)
    const apart = (Math.max(...seen) - Math.min(...seen)) * 1000
    interview.say(`watched: the pictures of one moment are ${Math.round(apart)} ms apart`)
    assert.ok(apart < APART_MS, `the pictures of one moment are ${apart} ms apart`)
    await clicks(page, 'Pause')
    await says(page, 'Please share your screen')
    await page.click('.message')
    const { at } = manifest.events.find(({ type }) => type === 'chat')
    await until('the page is where it was said', async () => Math.abs(await position(page) - at) < 0.06)
    assert.deepEqual(complaints, [])

    await page.setExtraHTTPHeaders({ authorization: `Bearer ${TOKEN}` })
    await page.goto(`${operator.url}recordings`)
    await says(page, interview.room)
    await clicks(page, `Delete ${interview.room}`)
    await clicks(page, 'Delete')
    await says(page, 'Nothing has been recorded yet')
    assert.deepEqual(interview.recordings.all(interview.room), [])
    await page.goto(interview.server.url + path)
    await says(page, 'The recording is not here any more')
  }
}
