// What only some client styles do: data channels, one connection for all, ICE restarts, crossing offers.

import assert from 'node:assert/strict'
import { keyOf, receiveEachOther, receives } from '../harness/media.mjs'

export const messages = {
  name: 'messages',
  title: 'data channel messages go both ways',
  styles: ['simple-peer'],
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    for (const [from, to] of [[recruiter, candidate], [candidate, recruiter]]) {
      await from.waitFor('its data channel is open', probe => probe.connected)
      const text = `from ${from.name}: ü 𝄞`
      await from.does('send', to.id, text)
      await to.waitFor(`the message of ${from.name}`, probe => probe.messages.some(m => m.key === from.id && m.text === text))
    }
    await receiveEachOther(recruiter, candidate)
  }
}

export const recruiterShares = {
  name: 'recruiter-shares',
  title: 'the recruiter adds a screen to the one connection, and takes it away',
  styles: ['perfect'],
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(recruiter, candidate)
    await recruiter.share()
    await receives(candidate, recruiter, { screen: true })
    await receiveEachOther(recruiter, candidate)
    await recruiter.stopShare()
    await candidate.waitFor('the screen is gone', probe => !(keyOf(recruiter, { screen: true }) in probe.streams))
    await receiveEachOther(recruiter, candidate)
  }
}

export const glare = {
  name: 'glare',
  title: 'both sides add a screen at the same moment, and both arrive',
  styles: ['perfect'],
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(recruiter, candidate)
    await Promise.all([recruiter.share(), candidate.share()])
    await receives(candidate, recruiter, { screen: true })
    await receives(recruiter, candidate, { screen: true })
    // After the implicit rollback Chromium's <video> of the camera may stand still though its frames are decoded; in both modes.
    await receiveEachOther(recruiter, candidate, { shown: false })
  }
}

export const iceRestart = {
  name: 'ice-restart',
  title: 'each side restarts ICE and the media goes on',
  styles: ['perfect'],
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(recruiter, candidate)
    for (const person of [candidate, recruiter]) {
      const [before] = (await person.probe()).connections
      await person.does('restartIce')
      await person.waitFor('both ends have new ICE credentials', ({ connections: [now] }) =>
        now.signaling === 'stable' && now.localUfrag !== before.localUfrag && now.remoteUfrag !== before.remoteUfrag)
      await receiveEachOther(recruiter, candidate)
      assert.equal((await person.probe()).connections[0].state, 'connected')
    }
  }
}

export const crossingCalls = {
  name: 'crossing-calls',
  title: 'two recruiters who call each other at once see and hear each other within seconds',
  modes: ['relay'], // peer to peer the hooks' offers cross, and both sides ignore both answers
  styles: ['stock-hook', 'hook'],
  async run (interview) {
    const first = await interview.join('recruiter', 'first')
    const second = await interview.join('recruiter', 'second')
    await receiveEachOther(first, second, { timeout: 8000 })
    for (const [viewer, from] of [[first, second], [second, first]]) {
      const { marks: { firstFrame } } = await viewer.probe()
      const { marks: { joined } } = await second.probe()
      interview.say(`two recruiters who call each other: ${viewer.name} sees ${from.name} ${Math.round(firstFrame[from.id] - joined)} ms after the second one's join`)
    }
    assert.deepEqual([...await first.events('user-left'), ...await second.events('user-left')], [], 'the call was made anew')
  }
}
