// How much flows: what a page uploads, and how evenly pictures arrive.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { keyOf } from './media.mjs'
import { until } from './until.mjs'

// Between looks at the counters of decoded frames. Chromium gives the same ones again for 50 ms.
export const LOOK_MS = 50

// uploads lists the streams on which the person's page has sent pictures or sound within `ms`, with kbit/s and frames/s.
export async function uploads (person, ms) {
  const before = new Map((await person.measure('outbound')).map(stream => [stream.id, stream]))
  await sleep(ms)
  const flowing = []
  for (const stream of await person.measure('outbound')) {
    const { at, bytes, packets, frames } = before.get(stream.id) ?? { at: stream.at - ms, bytes: 0, packets: 0, frames: 0 }
    if (stream.kind === 'video' ? stream.frames === frames : stream.packets === packets) continue
    const seconds = (stream.at - at) / 1000
    flowing.push({ ...stream, kbps: Math.round((stream.bytes - bytes) * 8 / seconds / 1000), fps: +((stream.frames - frames) / seconds).toFixed(1) })
  }
  return flowing
}

const counted = streams => {
  const count = {}
  for (const { source, kind } of streams) count[`${source} ${kind}`] = (count[`${source} ${kind}`] ?? 0) + 1
  return count
}

const described = streams => streams.map(s =>
  `${s.source} ${s.kind}${s.rid ? ` ${s.rid}` : ''} to ${s.key}: ${s.kbps} kbit/s${s.kind === 'video' ? ` ${s.width}x${s.height} ${s.fps} fps` : ''}`).join('; ')

// uploadsOnce waits until the page sends each source on one of its connections alone, and then holds it to that.
// A screen may have sound of its own.
export async function uploadsOnce (person, { screen = false, timeout = 20_000 } = {}) {
  const expected = { 'camera audio': 1, 'camera video': 1, ...(screen && { 'screen video': 1 }) }
  const right = streams => {
    const { 'screen audio': sound = 0, ...count } = counted(streams)
    return sound <= (screen ? 1 : 0) && JSON.stringify(Object.entries(count).sort()) === JSON.stringify(Object.entries(expected).sort())
  }
  let last = []
  await until(`${person.name} sends each source once`, async () => {
    last = await uploads(person, 1000)
    return right(last)
  }, { timeout, interval: 0, describe: () => described(last) })
  last = await uploads(person, 3000)
  assert.ok(right(last), `${person.name} sends ${described(last)}`)
  return last
}

export const startWatch = viewer => viewer.measure('watch', LOOK_MS)

// endWatch returns what the watch saw; gap() is the longest time without a new frame of somebody, in ms, from a
// moment on (milliseconds since the epoch; by default from the watch's start).
export async function endWatch (viewer) {
  const { start, end, late, rises, freezes } = await viewer.measure('watched')
  return {
    end,
    late: Math.round(late),
    // each freeze, in ms
    freezes: (from, { screen = false } = {}) => freezes[keyOf(from, { screen })] ?? [],
    gap (from, { screen = false, since = start, until: to = end } = {}) {
      const moments = rises[keyOf(from, { screen })] ?? []
      let longest = 0
      let last = start
      for (const at of [...moments, end]) {
        if (at > since && last < to) longest = Math.max(longest, at - last)
        last = at
      }
      return Math.round(longest)
    },
    // frames in each full stretch of `ms`
    frames (from, ms, { screen = false, since = start } = {}) {
      const moments = rises[keyOf(from, { screen })] ?? []
      const stretches = Array(Math.floor((end - since) / ms)).fill(0)
      for (const at of moments) {
        const i = Math.floor((at - since) / ms)
        if (i >= 0 && i < stretches.length) stretches[i]++
      }
      return stretches
    }
  }
}

// difference of two results of measure('inbound') for one key.
export function received (before, after) {
  const seconds = (after.at - before.at) / 1000
  const rate = bytes => Math.round(bytes * 8 / seconds / 1000)
  return {
    seconds: +seconds.toFixed(1),
    kbps: rate(after.bytes - before.bytes),
    soundKbps: rate(after.soundBytes - before.soundBytes),
    fps: +((after.frames - before.frames) / seconds).toFixed(1),
    size: `${after.width}x${after.height}`,
    freezes: after.freezes - before.freezes,
    frozenMs: after.frozenMs - before.frozenMs,
    lost: after.lost - before.lost,
    packets: after.packets - before.packets,
    nacks: after.nacks - before.nacks,
    plis: after.plis - before.plis,
    keyFrames: after.keyFrames - before.keyFrames
  }
}

export const inWords = r => `${r.kbps} kbit/s ${r.size} ${r.fps} fps, ${r.freezes} freezes (${r.frozenMs} ms), ` +
  `${r.lost} of ${r.packets} packets lost, ${r.nacks} NACKs, ${r.plis} PLIs, ${r.keyFrames} key frames, sound ${r.soundKbps} kbit/s`
