// What it means that media flows: the counters of the stream that the page shows go up.

import assert from 'node:assert/strict'
import { summary } from './person.mjs'
import { until } from './until.mjs'

// Over at least this long the counters must have risen by at least so much. The fake devices give 10
// frames and 50 audio packets a second; a starved machine gives far fewer.
const OVER_MS = 1000
const FRAMES = 3
const AUDIO_PACKETS = 15

export const keyOf = (person, { screen = false } = {}) => screen ? `${person.id}-screen` : person.id

// How the streams shown by `viewer` under one key have moved between two probes, or null if a stream is another.
function movement (before, after) {
  if (!before || !after || before.streamId !== after.streamId) return null
  return {
    frames: after.framesDecoded - before.framesDecoded,
    shown: after.shownFrames - before.shownFrames,
    audio: after.audioPackets - before.audioPackets,
    energy: after.audioEnergy - before.audioEnergy
  }
}

// receives waits until the viewer's page shows a moving picture of `from` (and hears them). `shown`: the frames
// must not only be decoded but reach the <video>, which Firefox does not count for streams.
export async function receives (viewer, from, { screen = false, video = true, audio = !screen, shown = viewer.browser === 'chromium', timeout = 30_000 } = {}) {
  const what = `${viewer.name} ${[video && 'sees', audio && 'hears'].filter(Boolean).join(' and ')} ${from.name}${screen ? "'s screen" : ''}`
  const history = []
  let last = null
  let moved = null
  await until(what, async () => {
    last = await viewer.probe()
    const key = keyOf(from, { screen })
    const at = performance.now()
    const seen = last.streams[key]
    history.push({ at, seen })
    // The youngest sample that is old enough: an old stall is not held against a call that has recovered.
    const base = history.findLast(sample => at - sample.at >= OVER_MS)
    moved = base && movement(base.seen, seen)
    if (!moved) return false
    const picture = !video || (seen.width > 0 && moved.frames >= FRAMES && (!shown || moved.shown >= FRAMES))
    const sound = !audio || (moved.audio >= AUDIO_PACKETS && moved.energy > 0)
    return picture && sound
  }, { timeout, interval: 250, describe: () => `${keyOf(from, { screen })} moved by ${JSON.stringify(moved)} in ${summary(last)}` })
}

export async function receiveEachOther (a, b, options) {
  await Promise.all([receives(a, b, options), receives(b, a, options)])
}

// showsOnly asserts that the viewer's page shows these people (and these screens) and nobody else.
export async function showsOnly (viewer, people, { screens = [] } = {}) {
  const { streams } = await viewer.probe()
  const allowed = new Set([...people.map(p => p.id), ...screens.map(p => keyOf(p, { screen: true }))])
  const strangers = Object.keys(streams).filter(key => !allowed.has(key))
  assert.deepEqual(strangers, [], `${viewer.name} shows streams of sockets that are nobody's call`)
}
