// A cell of the matrix: one call between two sites.

import assert from 'node:assert/strict'
import { loadavg } from 'node:os'
import { LOOK_MS } from '../harness/flow.mjs'
import { Interview } from '../harness/lab.mjs'
import { keyOf, receiveEachOther } from '../harness/media.mjs'
import { until } from '../harness/until.mjs'

const CONNECT_MS = 45_000 // more than the server itself allows
const P2P_MS = 20_000 // most that connect at all do in two
const TRANSPORT_MS = 15_000 // a better pair may take over from the first one
const RECOVER_MS = 45_000
const P2P_RECOVER_MS = 20_000
// Pictures move if there were so many new frames in such a time, which is longer than what may still arrive of before.
const STEADY_MS = 3000
const STEADY_FRAMES = 15

// transportOf names what a selected pair runs over, as seen from the page: "udp", "tcp", or through a TURN server
// "turn/udp", "turn/tcp", "turn/tls".
export const transportOf = pair => pair.localType === 'relay' ? `turn/${pair.relayProtocol}` : pair.protocol

const overUDP = transport => ['udp', 'turn/udp'].includes(transport)

const fits = (transport, wanted) => overUDP(transport) === (wanted === 'udp')

const selectedPairs = probe => probe.connections.filter(c => c.state === 'connected').map(c => c.pair)

// selects waits until all of a person's media runs over what its network lets through, and returns what that is.
async function selects (person, profile, timeout) {
  let pairs = []
  await until(`${person.name}'s media runs over ${profile.transport}`, async () => {
    pairs = selectedPairs(await person.probe())
    return pairs.length > 0 && pairs.every(pair => pair && fits(transportOf(pair), profile.transport))
  }, { timeout, describe: () => JSON.stringify(pairs) })
  return pairs
}

// Milliseconds from the moment when both were there to the first frame that one sees of the other.
async function firstFrame (viewer, from, start) {
  const { marks } = await viewer.waitFor(`the first frame of ${from.name}`, probe => probe.marks.firstFrame[keyOf(from)] && probe)
  return Math.round(marks.firstFrame[keyOf(from)] - start)
}

// play holds a call and returns {transports, frames, recoveries}: how each person's media runs, when each saw the first
// frame (ms), and how long each was without a new one when something happened to a site, from when it was over (ms).
export async function play ({ server, pages, sites, style, browser, name, keep = false }) {
  const settings = { scenario: `netlab-${name}`, style, mode: server.mode, recruiter: browser, candidate: browser }
  const interview = new Interview(settings, server, pages, null, { times: [], figures: [] })
  const result = { load: loadavg()[0] }
  try {
    await converse(interview, sites, result)
    if (keep) await interview.dump(null)
  } catch (err) {
    result.error = err.message
    result.folder = await interview.dump(err)
  } finally {
    await interview.close()
  }
  return result
}

async function converse (interview, sites, result) {
  const people = []
  for (const [i, role] of ['recruiter', 'candidate'].entries()) {
    people.push(await interview.join(role, role, { browsers: sites[i].browsers, ice: 'own' }))
  }
  await receiveEachOther(...people, { timeout: interview.relay ? CONNECT_MS : P2P_MS })
  const [recruiter, candidate] = people
  const start = (await candidate.probe()).marks.joined
  result.frames = [await firstFrame(recruiter, candidate, start), await firstFrame(candidate, recruiter, start)]
  if (interview.relay) {
    for (const [i, person] of people.entries()) {
      for (const pair of await selects(person, sites[i].profile, TRANSPORT_MS)) {
        assert.equal(pair.remotePort, interview.server.port, `${person.name}'s media goes to ${pair.remote}`)
      }
    }
  }
  result.transports = await Promise.all(people.map(transports))
  for (const site of sites) {
    for (const happens of site.profile.during ?? []) {
      (result.recoveries ??= []).push(await recovery(people, () => happens(site), interview.relay ? RECOVER_MS : P2P_RECOVER_MS))
    }
  }
  if (result.recoveries) result.transports = await Promise.all(people.map(transports))
}

// What a person's media runs over now, each way once.
async function transports (person) {
  const pairs = await person.waitFor('a selected pair', probe => {
    const found = selectedPairs(probe)
    return found.length > 0 && found.every(Boolean) && found
  })
  return [...new Set(pairs.map(transportOf))].join(' ')
}

// recovery lets something happen and returns for each page the longest time without a new frame after it was over, ms.
// All pictures must move again, and nobody reloads. Streams are told apart by nothing: who had to join again is another.
async function recovery (people, happen, timeout) {
  for (const person of people) await person.measure('watch', LOOK_MS)
  await happen()
  const over = Date.now()
  const samples = []
  await until('both see each other again', async () => {
    const frames = await Promise.all(people.map(framesOf))
    const at = Date.now() - over
    samples.push({ at, frames })
    const base = samples.findLast(sample => at - sample.at >= STEADY_MS)
    return base && frames.every((count, i) => count - base.frames[i] >= STEADY_FRAMES)
  }, { timeout, describe: () => `frames ${JSON.stringify(samples.slice(-3))}` })
  const gaps = []
  for (const person of people) {
    const { rises, end } = await person.measure('watched')
    const moments = [over, ...Object.values(rises).flat().filter(at => at > over).sort((a, b) => a - b), end]
    gaps.push(Math.round(Math.max(...moments.slice(1).map((at, i) => at - moments[i]))))
  }
  return gaps
}

const framesOf = async person => Object.values((await person.probe()).streams).reduce((sum, stream) => sum + stream.framesDecoded, 0)
