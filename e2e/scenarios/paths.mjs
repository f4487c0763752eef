// Calls over bad networks: one person's media passes a forwarder that loses, delays or holds it back.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { endWatch, inWords, received, startWatch } from '../harness/flow.mjs'
import { keyOf, receiveEachOther, receives } from '../harness/media.mjs'

const modes = ['relay']

// mediaPasses asserts that every connection of the person goes through the path and none around it.
export async function mediaPasses (person, path) {
  const pairs = await person.waitFor('a selected pair', probe => {
    const found = probe.connections.filter(c => c.state === 'connected' && c.pair)
    return found.length > 0 && found.map(c => c.pair)
  })
  for (const pair of pairs) assert.equal(pair.remotePort, path.port, `${person.name}'s media goes to ${pair.remote}`)
  const { up, down } = await path.counters()
  assert.ok(up.forwarded > 50 && down.forwarded > 50, `the path passed ${JSON.stringify({ up, down })}`)
}

export const lossy = {
  name: 'lossy',
  title: '5 % loss and 100 ms each way at the recruiter: no freeze beyond 500 ms',
  modes,
  async run (interview) {
    const bad = { loss: 0.05, delayMs: 100 }
    const path = await interview.path({ up: bad, down: bad })
    const recruiter = await interview.join('recruiter', 'recruiter', { server: path.url })
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(recruiter, candidate)
    await mediaPasses(recruiter, path)
    await sleep(4000) // the first seconds, in which rates and buffers find their size

    await startWatch(recruiter)
    await startWatch(candidate)
    const before = await recruiter.measure('inbound')
    await sleep(20_000)
    const seen = received(before[keyOf(candidate)], (await recruiter.measure('inbound'))[keyOf(candidate)])
    const watch = await endWatch(recruiter)
    const gap = watch.gap(candidate)
    interview.say(`the recruiter sees the candidate through 5 % loss and 100 ms each way: longest time without a new frame ${gap} ms, ${inWords(seen)} in ${seen.seconds} s (page late by ${watch.late} ms at most)`)
    const back = await endWatch(candidate)
    interview.say(`the candidate sees the recruiter, whose upload passes the same: longest time without a new frame ${back.gap(recruiter)} ms`)
    const { down } = await path.counters()
    assert.ok(down.lost > 20, `the path lost only ${down.lost} packets`)
    assert.ok(gap <= 500, `the candidate's picture stood still for ${gap} ms: ${inWords(seen)}`)
    assert.ok(seen.frozenMs <= 500 || seen.frozenMs / Math.max(1, seen.freezes) <= 500, `froze: ${inWords(seen)}`)
    await receives(recruiter, candidate)
  }
}

export const narrow = {
  name: 'narrow',
  title: '500 kbit/s down at one recruiter of three: the picture moves there, and the others go on',
  modes,
  async run (interview) {
    const path = await interview.path()
    const narrow = await interview.join('recruiter', 'narrow', { server: path.url })
    const others = [await interview.join('recruiter', 'second'), await interview.join('recruiter', 'third')]
    const candidate = await interview.join('candidate', 'candidate')
    const all = [narrow, ...others]
    await Promise.all(all.map(viewer => receives(viewer, candidate)))
    await mediaPasses(narrow, path)

    const key = keyOf(candidate)
    const measured = async ms => {
      const before = await Promise.all(all.map(viewer => viewer.measure('inbound')))
      await sleep(ms)
      const after = await Promise.all(all.map(viewer => viewer.measure('inbound')))
      return all.map((_, i) => received(before[i][key], after[i][key]))
    }
    await sleep(4000)
    const wide = await measured(5000)
    await path.set({ down: { rate: 500_000 } })
    await startWatch(narrow)
    const during = await measured(20_000)
    const watch = await endWatch(narrow)
    const stretches = watch.frames(candidate, 3000)
    for (const [when, results] of [['before', wide], ['during', during]]) {
      results.forEach((r, i) => interview.say(`500 kbit/s down at one of three, ${when}: ${all[i].name}: ${inWords(r)}`))
    }
    interview.say(`500 kbit/s down at one of three: frames there in each 3 s: ${stretches.join(' ')}; longest time without one ${watch.gap(candidate)} ms`)
    const { down } = await path.counters()
    interview.say(`500 kbit/s down at one of three: ${down.dropped} of ${down.packets} packets found the queue full`)
    assert.ok(Math.min(...stretches) >= 3, `frames in each 3 s: ${stretches.join(' ')}`)
    for (const viewer of others) await receives(viewer, candidate)
  }
}
