// Staying connected: one person's address, network or line changes or fails for a while, and nobody reloads.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { endWatch, LOOK_MS, startWatch } from '../harness/flow.mjs'
import { receiveEachOther } from '../harness/media.mjs'
import { mediaPasses } from './paths.mjs'

const modes = ['relay']
const styles = ['stock-hook', 'hook']

// What a person may miss of the other after a change of address, and more of a dark line than it was dark.
const BACK_MS = 5000

const connectionsOf = async person => (await person.probe()).connections.length

// without plays `change` and says how long each of the two then was without a new frame of the other.
async function without (interview, what, people, change, { most = BACK_MS } = {}) {
  const before = await Promise.all(people.map(connectionsOf))
  await Promise.all(people.map(startWatch))
  const since = Date.now()
  await change()
  await receiveEachOther(...people)
  await sleep(1500) // a gap ends with its first frame; the picture must go on
  await receiveEachOther(...people)
  const watches = await Promise.all(people.map(endWatch))
  watches.forEach((watch, i) => {
    const [viewer, from] = i === 0 ? people : people.toReversed()
    const gap = watch.gap(from, { since })
    interview.say(`${what}: ${viewer.name} without a new frame of ${from.name} for ${gap} ms (+-${LOOK_MS}, page late by ${watch.late} ms at most)`)
    assert.ok(gap <= most + LOOK_MS, `${what}: ${viewer.name} saw nothing of ${from.name} for ${gap} ms`)
  })
  assert.deepEqual(await Promise.all(people.map(connectionsOf)), before, 'connections were made anew')
  for (const person of people) assert.deepEqual(await person.events('user-left'), [], `${person.name} was told that the other left`)
}

// The recruiter's page offers, and so the server is the controlled ICE agent there; the candidate's answers.
async function bothOnPaths (interview) {
  const paths = [await interview.path(), await interview.path()]
  const recruiter = await interview.join('recruiter', 'recruiter', { server: paths[0].url })
  const candidate = await interview.join('candidate', 'candidate', { server: paths[1].url })
  await receiveEachOther(recruiter, candidate)
  await mediaPasses(recruiter, paths[0])
  await mediaPasses(candidate, paths[1])
  return [[recruiter, candidate], paths]
}

export const addressChange = {
  name: 'address-change',
  title: 'a NAT forgets the recruiter, then the candidate: each is seen and heard again within 5 s',
  modes,
  styles,
  async run (interview) {
    const [people, paths] = await bothOnPaths(interview)
    for (const [i, path] of paths.entries()) {
      await without(interview, `${people[i].name}'s address changes`, people, () => path.rebind())
    }
  }
}

export const networkChange = {
  name: 'network-change',
  title: 'the candidate goes to another network, then the recruiter: media and signaling are back within 5 s',
  modes,
  styles,
  async run (interview) {
    const [people, paths] = await bothOnPaths(interview)
    for (const i of [1, 0]) {
      const { id } = people[i]
      await without(interview, `${people[i].name} changes the network`, people, () => paths[i].move())
      await mediaPasses(people[i], paths[i])
      assert.equal((await people[i].probe()).id, id, 'the session has not been recovered')
    }
  }
}

const DARK_MS = 8000

export const dark = {
  name: 'dark-8s',
  title: 'a line that is dark for 8 s, with its signaling and without it: nobody reloads',
  modes,
  styles,
  async run (interview) {
    const [people, paths] = await bothOnPaths(interview)
    const nothing = { up: { loss: 1 }, down: { loss: 1 } }
    for (const [i, all] of [[1, false], [0, true]]) {
      await without(interview, `${people[i].name}'s ${all ? 'whole line' : 'media'} dark for ${DARK_MS / 1000} s`, people, async () => {
        if (all) paths[i].freeze()
        await paths[i].set(nothing)
        await sleep(DARK_MS)
        await paths[i].set({ up: {}, down: {} })
        if (all) paths[i].thaw()
      }, { most: DARK_MS + BACK_MS })
    }
  }
}

export const noWay = {
  name: 'no-way',
  title: 'a candidate whose network lets no media through: both are told, and told again when it does',
  modes,
  styles,
  async run (interview) {
    const nothing = { up: { loss: 1 }, down: { loss: 1 } }
    const path = await interview.path(nothing)
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate', { server: path.url })
    const told = async (person, other, own, state) => person.waitFor(`told of ${own ? 'its own' : 'the other'}: ${state}`, probe =>
      probe.events.findLast(({ name, payload: p }) =>
        name === 'media-status' && p.userId === other.id && p.own === own && !p.isScreenShare && p.state === state))
    for (const [person, other, own] of [[recruiter, candidate, false], [candidate, recruiter, true]]) {
      const { payload, at } = await told(person, other, own, 'no-connection')
      assert.equal(payload.reason, 'ice')
      interview.say(`no way for the candidate's media: ${person.name} told ${Math.round(at - (await candidate.probe()).marks.joined)} ms after the candidate's join`)
    }
    await path.set({ up: {}, down: {} })
    await receiveEachOther(recruiter, candidate, { timeout: 60_000 })
    await mediaPasses(candidate, path)
    for (const [person, other, own] of [[recruiter, candidate, false], [candidate, recruiter, true]]) {
      const last = (await person.events('media-status')).findLast(({ payload: p }) => p.userId === other.id && p.own === own)
      const left = (await person.events('user-left')).at(-1)
      assert.ok(last.payload.state === 'ok' || left?.at > last.at, `${person.name} was told last: ${JSON.stringify(last.payload)}`)
    }
  }
}
