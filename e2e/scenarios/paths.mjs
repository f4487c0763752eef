// Calls over bad networks: one person's media passes a forwarder that loses, delays or holds it back.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { endWatch, inWords, LOOK_MS, received, startWatch, uploads } from '../harness/flow.mjs'
import { keyOf, receiveEachOther, receives } from '../harness/media.mjs'
import { until } from '../harness/until.mjs'

const modes = ['relay']

// A key frame of a camera fits into the queue, two do not.
const NARROW = { rate: 500_000, queueMs: 400 }

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
  styles: ['stock-hook'],
  async run (interview) {
    const bad = { loss: 0.05, delayMs: 100 }
    const path = await interview.path({ up: bad, down: bad })
    const recruiter = await interview.join('recruiter', 'recruiter', { server: path.url, fps: 30 })
    const candidate = await interview.join('candidate', 'candidate', { fps: 30 })
    await receiveEachOther(recruiter, candidate)
    await mediaPasses(recruiter, path)
    await sleep(4000) // the first seconds, in which rates and buffers find their size

    const ways = [[recruiter, candidate, 'through 5 % loss and 100 ms each way'], [candidate, recruiter, 'who sends through the same']]
    const counters = async () => Promise.all(ways.map(async ([viewer, from]) => (await viewer.measure('inbound'))[keyOf(from)]))
    await Promise.all([recruiter, candidate].map(startWatch))
    const before = await counters()
    await sleep(20_000)
    const after = await counters()
    for (const [i, [viewer, from, how]] of ways.entries()) {
      const watch = await endWatch(viewer)
      const longest = Math.max(0, ...watch.freezes(from))
      const seen = inWords(received(before[i], after[i]))
      interview.say(`${viewer.name} sees ${from.name} ${how}: longest freeze ${longest} ms, longest time without a new frame ` +
        `${watch.gap(from)} ms (+-${LOOK_MS}, page late by ${watch.late} ms at most), ${seen}`)
      // Between the loss and a viewer with a good line is the server: a repair that is lost twice in its turn may show there.
      const most = viewer === recruiter ? 500 : 800
      assert.ok(longest <= most, `${from.name}'s picture froze for ${watch.freezes(from).join(', ')} ms: ${seen}`)
      // What the browser does not count as a freeze must not be one: no frame at all.
      assert.ok(watch.gap(from) <= most + 2 * LOOK_MS, `${viewer.name} got no frame of ${from.name} for ${watch.gap(from)} ms: ${seen}`)
    }
    const { up, down } = await path.counters()
    for (const way of [up, down]) assert.ok(way.lost > way.packets / 40, `the path lost only ${way.lost} of ${way.packets} packets`)
  }
}

export const narrow = {
  name: 'narrow',
  title: '500 kbit/s down at one recruiter of three: the picture moves there, and the others go on',
  modes,
  styles: ['perfect', 'simple-peer'], // a hook shows recruiters each other's cameras too
  async run (interview) {
    const path = await interview.path()
    const narrow = await interview.join('recruiter', 'narrow', { server: path.url })
    const others = [await interview.join('recruiter', 'second'), await interview.join('recruiter', 'third')]
    const candidate = await interview.join('candidate', 'candidate', { fps: 30 })
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
    await path.set({ down: NARROW })
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

export const layers = {
  name: 'layers',
  title: 'a recruiter who sends three sizes: a candidate with little bandwidth gets less, the other all',
  modes,
  styles: ['perfect'],
  variant: 'simulcast',
  async run (interview) {
    const path = await interview.path()
    const recruiter = await interview.join('recruiter', 'recruiter')
    const narrow = await interview.join('candidate', 'narrow', { server: path.url })
    const wide = await interview.join('candidate', 'wide')
    const viewers = [narrow, wide]
    await Promise.all(viewers.map(viewer => receives(viewer, recruiter)))
    await mediaPasses(narrow, path)
    const sees = async viewer => (await viewer.measure('inbound'))[keyOf(recruiter)]
    const seesTop = viewer => until(`${viewer.name} gets the largest size`, async () => (await sees(viewer)).width === 1280, { timeout: 30_000 })
    await Promise.all(viewers.map(seesTop))

    // What the largest size takes depends on how much of it the machine can encode.
    const start = await sees(wide)
    await sleep(4000)
    const all = received(start, await sees(wide))
    const rate = Math.max(250_000, Math.round(800 * all.kbps))
    await path.set({ down: { ...NARROW, rate } })
    await sleep(8000) // it gives way, and what the queue held goes by
    await startWatch(narrow)
    const before = await Promise.all(viewers.map(sees))
    await sleep(10_000)
    const after = await Promise.all(viewers.map(sees))
    const watch = await endWatch(narrow)
    const seen = viewers.map((_, i) => received(before[i], after[i]))
    viewers.forEach((viewer, i) => interview.say(`three sizes, ${rate / 1000} kbit/s at one of two: ${viewer.name}: ${inWords(seen[i])}`))
    interview.say(`three sizes, ${rate / 1000} kbit/s at one of two: longest time without a new frame there ${watch.gap(recruiter)} ms`)
    assert.equal(after[1].width, 1280, 'what the other gets')
    assert.ok(seen[0].kbps < 0.85 * seen[1].kbps, `the narrow one gets ${seen[0].kbps} of ${seen[1].kbps} kbit/s`)
    const stretches = watch.frames(recruiter, 3000)
    assert.ok(Math.min(...stretches) >= 3, `frames in each 3 s at the narrow one: ${stretches.join(' ')}`)

    await path.set({ down: {} })
    await seesTop(narrow)
  }
}

export const layersKept = {
  name: 'layers-kept',
  title: 'three sizes stay three: when the server offers anew, when another connection carries them, after a pause',
  modes,
  styles: ['perfect'],
  variant: 'simulcast',
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    const viewers = [await interview.join('candidate', 'one'), await interview.join('candidate', 'two')]
    await Promise.all(viewers.map(viewer => receives(viewer, recruiter)))
    // The connection on which the recruiter's page sends all sizes, and no other.
    const carrier = async () => {
      let sent = []
      await until('three sizes on one connection', async () => {
        sent = (await uploads(recruiter, 1000)).filter(s => s.kind === 'video')
        return sent.map(s => s.rid).sort().join() === 'f,h,q' && new Set(sent.map(s => s.key)).size === 1
      }, { timeout: 30_000, interval: 0, describe: () => JSON.stringify(sent) })
      return viewers.find(viewer => keyOf(viewer) === sent[0].key)
    }
    const first = await carrier()
    const other = viewers.find(viewer => viewer !== first)
    // Each share makes the server offer anew: where the sizes come, and where they are off.
    for (const viewer of [first, other]) {
      await viewer.share()
      await receives(recruiter, viewer, { screen: true })
      assert.equal(await carrier(), first)
    }
    await first.leave()
    assert.equal(await carrier(), other)
    await receives(other, recruiter)

    await recruiter.does('sends', false)
    await until('the camera is off', async () => (await uploads(recruiter, 1000)).length === 0, { interval: 0 })
    await recruiter.does('sends', true)
    assert.equal(await carrier(), other)
    await receives(other, recruiter)
    await until('the largest size', async () => (await other.measure('inbound'))[keyOf(recruiter)].width === 1280, { timeout: 30_000 })
  }
}
