// A panel: several recruiters see one candidate, who sends each source once.

import assert from 'node:assert/strict'
import { endWatch, startWatch, uploadsOnce } from '../harness/flow.mjs'
import { keyOf, receives } from '../harness/media.mjs'

const modes = ['relay']
const styles = ['stock-hook']

const otherBrowser = browser => browser === 'chromium' ? 'firefox' : 'chromium'

const kbps = streams => streams.filter(s => s.kind === 'video').map(s => `${s.source} ${s.width}x${s.height} ${s.fps} fps ${s.kbps} kbit/s`).join(', ')

export const panel = {
  name: 'panel',
  title: 'a candidate before three recruiters sends one camera, one voice and one screen, and all see both',
  modes,
  styles,
  async run (interview) {
    const { recruiter } = interview.browserOf
    const recruiters = []
    for (const [name, browser] of [['first', recruiter], ['second', otherBrowser(recruiter)], ['third', recruiter]]) {
      recruiters.push(await interview.join('recruiter', name, { browser }))
    }
    // The recruiters call: the candidate's connections are offered by the server.
    const candidate = await interview.join('candidate', 'candidate')
    await Promise.all(recruiters.map(viewer => receives(viewer, candidate)))
    // The recruiters' connections are offered by themselves.
    const [sent] = await Promise.all([candidate, ...recruiters].map(person => uploadsOnce(person)))
    interview.say(`a panel of three, uploads of the candidate (${candidate.browser}): ${kbps(sent)}`)

    // The candidate's client offers a screen to each.
    await candidate.share()
    await Promise.all(recruiters.map(viewer => receives(viewer, candidate, { screen: true })))
    interview.say(`a panel of three, with a screen (${candidate.browser}): ${kbps(await uploadsOnce(candidate, { screen: true }))}`)
    await Promise.all(recruiters.flatMap(viewer => [receives(viewer, candidate), receives(viewer, candidate, { screen: true })]))
    for (const viewer of recruiters) {
      const seen = await viewer.measure('inbound')
      for (const key of [keyOf(candidate), keyOf(candidate, { screen: true })]) {
        assert.ok(seen[key].width >= 320 && seen[key].height >= 240, `${viewer.name} sees ${key} at ${seen[key].width}x${seen[key].height}`)
      }
    }
  }
}

// What becomes of the pictures of everybody who stays, when `leave` ends the connection that carries.
async function withoutCarrier (interview, how, { viewers, candidate, leave }) {
  await Promise.all(viewers.map(startWatch))
  const since = Date.now()
  await leave()
  await Promise.all(viewers.flatMap(viewer => [receives(viewer, candidate), receives(viewer, candidate, { screen: true })]))
  for (const viewer of viewers) {
    const watch = await endWatch(viewer)
    for (const screen of [false, true]) {
      const gap = watch.gap(candidate, { screen, since })
      const what = screen ? 'screen' : 'camera'
      interview.note(`${how}: longest time without a new frame of the ${what}`, gap)
      interview.say(`${how}: ${viewer.name} (${viewer.browser}) is without a new frame of the ${what} for ${gap} ms at most (page late by ${watch.late} ms at most)`)
      assert.ok(gap <= 3000, `${viewer.name} saw no new frame of the candidate's ${what} for ${gap} ms`)
    }
  }
}

export const carrierLeaves = {
  name: 'carrier-leaves',
  title: 'the recruiters leave whose connections carry the camera, then the screen: who stays goes on seeing both',
  modes,
  styles,
  async run (interview) {
    const { recruiter } = interview.browserOf
    let viewers = []
    for (const [name, browser] of [['first', recruiter], ['second', otherBrowser(recruiter)], ['third', recruiter]]) {
      viewers.push(await interview.join('recruiter', name, { browser }))
    }
    const candidate = await interview.join('candidate', 'candidate')
    await Promise.all(viewers.map(viewer => receives(viewer, candidate)))
    await candidate.share()
    await Promise.all(viewers.map(viewer => receives(viewer, candidate, { screen: true })))

    for (const source of ['camera', 'screen']) {
      const { key } = (await uploadsOnce(candidate, { screen: true })).find(s => s.source === source && s.kind === 'video')
      const leaver = viewers.find(viewer => key === keyOf(viewer, { screen: source === 'screen' }))
      assert.ok(leaver, `${key} carries the candidate's ${source}`)
      viewers = viewers.filter(viewer => viewer !== leaver)
      await withoutCarrier(interview, `the recruiter leaves whose connection carries the ${source}`, {
        viewers, candidate, leave: () => leaver.leave()
      })
      await leaver.close() // only now: on one machine a tab that goes starves the others
    }
    await uploadsOnce(candidate, { screen: true })
  }
}
