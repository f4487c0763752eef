// The call itself: camera and microphone both ways.

import assert from 'node:assert/strict'
import { holds } from '../harness/until.mjs'
import { receiveEachOther, receives, showsOnly } from '../harness/media.mjs'

const connectedPairs = probe => probe.connections.filter(c => c.state === 'connected' && c.pair)

// In relay mode every connection's other end is the server; in p2p none is.
async function mediaPathIsRight (interview, people) {
  for (const person of people) {
    const pairs = await person.waitFor('a selected pair', probe => {
      const found = connectedPairs(probe)
      return found.length > 0 && found
    })
    for (const { pair } of pairs) {
      const atServer = pair.remotePort === interview.server.port
      assert.equal(atServer, interview.relay, `${person.name}'s media goes to ${pair.remote}; the server is on ${interview.server.port}`)
    }
  }
}

export const basic = {
  name: 'basic',
  title: 'recruiter and candidate see and hear each other',
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(recruiter, candidate)
    for (const person of [recruiter, candidate]) {
      await person.waitFor('its client says connected', probe => probe.connected)
      assert.equal((await person.probe()).error, null)
    }
    await mediaPathIsRight(interview, [recruiter, candidate])
    await showsOnly(recruiter, [candidate])
    await showsOnly(candidate, [recruiter])
  }
}

export const twoRecruiters = {
  name: 'two-recruiters',
  title: 'two recruiters who wait for the candidate both see and hear them',
  async run (interview) {
    const first = await interview.join('recruiter', 'first')
    const second = await interview.join('recruiter', 'second')
    const candidate = await interview.join('candidate', 'candidate')
    // Peer to peer the hook asks for the camera twice and leaves both recruiters without sound.
    const audio = interview.relay || interview.style !== 'stock-hook'
    await Promise.all([first, second].flatMap(recruiter =>
      [receives(recruiter, candidate, { audio }), receives(candidate, recruiter)]))
    if (interview.relay && !['simple-peer', 'perfect'].includes(interview.style)) {
      // Peer to peer the hooks' offers cross, and both sides ignore both answers.
      await receiveEachOther(first, second)
    }
  }
}

export const recruiterReload = {
  name: 'recruiter-reload',
  title: 'the recruiter reloads the page and the call comes back',
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(recruiter, candidate)
    const before = recruiter.id
    await recruiter.reload()
    await candidate.waitFor('the old recruiter is gone', probe => !(before in probe.people) && !(before in probe.streams))
    await receiveEachOther(recruiter, candidate)
    await showsOnly(candidate, [recruiter])
  }
}

export const candidateReload = {
  name: 'candidate-reload',
  title: 'the candidate reloads the page, is seen again and can share',
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(recruiter, candidate)
    const before = candidate.id
    await candidate.reload()
    await recruiter.waitFor('the old candidate is gone', probe => !(before in probe.people) && !(before in probe.streams))
    await receiveEachOther(recruiter, candidate)
    await candidate.share()
    await receives(recruiter, candidate, { screen: true })
    await receives(recruiter, candidate)
  }
}

export const leave = {
  name: 'leave',
  title: 'who leaves is gone from the other page at once, and can come back',
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    let candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(recruiter, candidate)

    const { id } = candidate
    const start = Date.now()
    await candidate.leave()
    await recruiter.waitFor('the candidate is gone', probe => !(id in probe.people) && !(id in probe.streams), { interval: 50 })
    const took = Date.now() - start
    assert.ok(took < 3000, `user-left took ${took} ms after a goodbye; the grace is only for broken connections`)
    await holds('user-left comes once', async () =>
      (await recruiter.events('user-left')).filter(event => event.payload.userId === id).length === 1, { duration: 1500 })
    await candidate.close()

    candidate = await interview.join('candidate', 'candidate-again')
    await receiveEachOther(recruiter, candidate)
    await recruiter.leave()
    await candidate.waitFor('the recruiter is gone', probe => Object.keys(probe.streams).length === 0)
  }
}

export const silentSockets = {
  name: 'silent-sockets',
  title: 'the extra sockets of a page never look like a person',
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter', { extra: 2 })
    const candidate = await interview.join('candidate', 'candidate', { extra: 2 })
    await receiveEachOther(recruiter, candidate)
    await recruiter.waitFor('six sockets are in the room', probe => Object.keys(probe.people).length === 6)
    await holds('nobody but the caller is on show', async () => {
      await showsOnly(recruiter, [candidate])
      await showsOnly(candidate, [recruiter])
      return true
    }, { duration: 4000, interval: 500 })
    if (interview.relay) {
      // What was offered to the silent ones holds a connection of its own, which must stay unanswered.
      const { connections } = await recruiter.probe()
      assert.equal(connections.filter(c => c.state === 'connected').length, 1, 'connections of the recruiter that are up')
    }
    await candidate.share()
    await receives(recruiter, candidate, { screen: true })
    await showsOnly(recruiter, [candidate], { screens: [candidate] })
  }
}

export const blip = {
  name: 'blip',
  title: 'a cut signaling connection is recovered: no user-left, the call goes on',
  needs: { skillsage: true }, // the original server has no connection state recovery
  async run (interview) {
    const proxy = await interview.proxy()
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate', { server: proxy.url })
    await receiveEachOther(recruiter, candidate)
    const { id } = candidate
    proxy.cut()
    await candidate.waitFor('the socket has recovered', probe => probe.events.some(e => e.name === 'connect' && e.payload.recovered))
    assert.equal((await candidate.probe()).id, id, 'a recovered socket keeps its id')
    await receiveEachOther(recruiter, candidate)
    assert.deepEqual(await recruiter.events('user-left'), [])
    // What is said after the recovery still arrives.
    await candidate.share()
    await receives(recruiter, candidate, { screen: true })
  }
}

export const outage = {
  name: 'outage',
  title: 'a page that lost the server for longer than the grace is called again as a new person',
  needs: { skillsage: true },
  modes: ['relay'], // peer to peer the old connection answers the new offer, which only Chromium can do
  async run (interview) {
    const proxy = await interview.proxy()
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate', { server: proxy.url })
    await receiveEachOther(recruiter, candidate)
    const { id } = candidate
    proxy.block()
    await recruiter.waitFor('the candidate is gone', probe => !(id in probe.people) && !(id in probe.streams))
    proxy.unblock()
    await candidate.rejoined()
    assert.notEqual(candidate.id, id)
    await receiveEachOther(recruiter, candidate)
    await showsOnly(recruiter, [candidate])
  }
}
