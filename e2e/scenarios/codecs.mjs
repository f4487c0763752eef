// Formats: what the browsers of a call have in common.

import assert from 'node:assert/strict'
import { keyOf, receiveEachOther, receives } from '../harness/media.mjs'

const modes = ['relay']

// What a page sends over all its connections, by format.
const sent = probe => [...new Set(probe.connections.flatMap(c => c.sends))].sort()

export const red = {
  name: 'red',
  title: 'sound with redundancy (RFC 2198) where both browsers have it, without where one has not',
  modes,
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter', { first: 'audio/red' })
    const candidate = await interview.join('candidate', 'candidate', { first: 'audio/red' })
    await receiveEachOther(recruiter, candidate)
    const both = recruiter.browser === 'chromium' && candidate.browser === 'chromium'
    // Chromium's counters name what is inside. Where the far side's description puts RED first, it sends it.
    const expected = both ? ['red', 'opus'] : ['opus']
    for (const person of [recruiter, candidate].filter(p => p.browser === 'chromium')) {
      const [{ sound }] = (await person.probe()).connections
      assert.deepEqual(sound, expected, `what ${person.name} is told of the far side's sound`)
    }
    if (!both) return
    // One without RED comes later: the candidate goes on with it, and is heard by both.
    const plain = await interview.join('recruiter', 'plain', { only: 'audio/opus' })
    await receiveEachOther(plain, candidate)
    await receives(recruiter, candidate)
    const { connections: [{ sound }] } = await plain.probe()
    assert.deepEqual(sound, ['opus'])
  }
}

export const lateCodec = {
  name: 'late-codec',
  title: 'a late recruiter without VP8 sees the candidate, in H.264, and the first one goes on in VP8',
  modes,
  async run (interview) {
    const early = await interview.join('recruiter', 'early')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(early, candidate)
    const late = await interview.join('recruiter', 'late', { only: 'video/h264' })
    await receiveEachOther(late, candidate)
    await receives(early, candidate)
    const codec = async viewer => (await viewer.probe()).streams[keyOf(candidate)].videoCodec
    assert.equal(await codec(early), 'video/vp8')
    assert.equal(await codec(late), 'video/h264')
    assert.deepEqual(sent(await candidate.probe()).filter(mime => mime.startsWith('video/')), ['video/h264', 'video/vp8'])
  }
}

export const noCommonCodec = {
  name: 'no-common-codec',
  title: 'two without a video format in common hear each other and are told why they see nothing',
  modes,
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter', { only: 'video/vp8' })
    const candidate = await interview.join('candidate', 'candidate', { only: 'video/h264' })
    await Promise.all([receives(recruiter, candidate, { video: false }), receives(candidate, recruiter, { video: false })])
    for (const [person, other] of [[recruiter, candidate], [candidate, recruiter]]) {
      await person.waitFor('the reason', probe => probe.events.some(event => event.name === 'media-unsupported'))
      const [{ payload }] = await person.events('media-unsupported')
      assert.equal(payload.userId, other.id)
      assert.equal(payload.kind, 'video')
      assert.equal(payload.isScreenShare, false)
    }
  }
}
