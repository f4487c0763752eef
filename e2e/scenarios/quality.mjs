// What the server says of the connections that it keeps.

import assert from 'node:assert/strict'
import { receiveEachOther } from '../harness/media.mjs'

export const quality = {
  name: 'quality',
  title: 'both are told how their connections do, and old pages take no notice',
  modes: ['relay'],
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(recruiter, candidate)
    for (const [person, other] of [[recruiter, candidate], [candidate, recruiter]]) {
      const told = await person.waitFor('figures both ways', probe => probe.events
        .filter(({ name }) => name === 'connection-quality').flatMap(({ payload }) => payload)
        .find(one => one.rtt !== null && one.bitrateUp > 0 && one.bitrateDown > 0 && one.peerQuality !== null))
      assert.equal(told.userId, other.id)
      assert.equal(told.isScreenShare, false)
      assert.equal(told.transport, 'udp')
      assert.match(told.candidateType, /^(host|prflx)$/)
      assert.match(told.quality, /^(good|fair|poor)$/)
      assert.ok(told.rtt > 0 && told.rtt < 5000, `round trip ${told.rtt} ms`)
      assert.ok(told.lossUp >= 0 && told.lossUp <= 1 && told.lossDown >= 0 && told.lossDown <= 1)
      assert.equal((await person.probe()).error, null)
    }
    await receiveEachOther(recruiter, candidate)
  }
}
