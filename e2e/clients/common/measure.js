// What a page sends and what it decodes, measured with the browser's own counters: `window.measure`.

import { now, openConnections, receiversByTrack } from './instrument.js'

// Tracks of screens and their clones, so that what is sent can be told apart.
const screens = new WeakSet()

function markScreen (track) {
  screens.add(track)
  const clone = track.clone.bind(track)
  track.clone = () => {
    const copy = clone()
    markScreen(copy)
    return copy
  }
}

const captureScreen = navigator.mediaDevices?.getDisplayMedia?.bind(navigator.mediaDevices)
if (captureScreen) {
  navigator.mediaDevices.getDisplayMedia = async (...args) => {
    const stream = await captureScreen(...args)
    stream.getTracks().forEach(markScreen)
    return stream
  }
}

// outbound lists the RTP streams that the page has sent anything on. `links` are the client's connections by key.
async function outbound (links) {
  const keys = new Map(Object.entries(links).map(([key, pc]) => [pc, key]))
  const found = []
  for (const pc of openConnections()) {
    for (const sender of pc.getSenders()) {
      for (const stat of (await sender.getStats()).values()) {
        if (stat.type !== 'outbound-rtp' || !stat.bytesSent) continue
        found.push({
          id: `${stat.kind} ${stat.ssrc}`,
          key: keys.get(pc) ?? null,
          kind: stat.kind,
          source: screens.has(sender.track) ? 'screen' : 'camera',
          rid: stat.rid ?? null,
          at: now(),
          bytes: stat.bytesSent,
          packets: stat.packetsSent,
          frames: stat.framesEncoded ?? 0,
          width: stat.frameWidth ?? 0,
          height: stat.frameHeight ?? 0
        })
      }
    }
  }
  return found
}

// inbound sums up the pictures of each stream on show, by key.
async function inbound (streams) {
  const receivers = receiversByTrack()
  const found = {}
  for (const [key, stream] of Object.entries(streams)) {
    const sum = { at: now(), frames: 0, keyFrames: 0, bytes: 0, packets: 0, lost: 0, nacks: 0, plis: 0, freezes: 0, frozenMs: 0, width: 0, height: 0, soundBytes: 0, soundConcealed: 0, soundSamples: 0 }
    for (const track of stream.getTracks()) {
      const stats = await receivers.get(track)?.getStats()
      for (const stat of stats?.values() ?? []) {
        if (stat.type !== 'inbound-rtp') continue
        if (stat.kind === 'audio') {
          sum.soundBytes += stat.bytesReceived ?? 0
          sum.soundConcealed += stat.concealedSamples ?? 0
          sum.soundSamples += stat.totalSamplesReceived ?? 0
          continue
        }
        sum.frames += stat.framesDecoded ?? 0
        sum.keyFrames += stat.keyFramesDecoded ?? 0
        sum.bytes += stat.bytesReceived ?? 0
        sum.packets += stat.packetsReceived ?? 0
        sum.lost += stat.packetsLost ?? 0
        sum.nacks += stat.nackCount ?? 0
        sum.plis += stat.pliCount ?? 0
        sum.freezes += stat.freezeCount ?? 0
        sum.frozenMs += Math.round((stat.totalFreezesDuration ?? 0) * 1000)
        if (stat.frameWidth) Object.assign(sum, { width: stat.frameWidth, height: stat.frameHeight })
      }
    }
    found[key] = sum
  }
  return found
}

const MAX_RISES = 5000 // for each key

// A Watch looks at what is decoded of each stream every `interval` ms and keeps the moments at which it rose, and how
// long each freeze was by the browser's own count (webrtc-stats: freezeCount, totalFreezesDuration).
class Watch {
  #streams
  #timer
  #busy = false
  #seen = new Map() // track -> its counters when last looked at
  #sampled = now()

  constructor (streams, interval) {
    this.#streams = streams
    this.start = this.#sampled
    this.late = 0 // longest time between two looks
    this.rises = {}
    this.freezes = {} // milliseconds, by key
    this.#timer = setInterval(() => this.#look(), interval)
  }

  async #look () {
    if (this.#busy) return
    this.#busy = true
    try {
      const receivers = receiversByTrack()
      for (const [key, stream] of Object.entries(this.#streams())) {
        for (const track of stream.getVideoTracks()) {
          const stats = await receivers.get(track)?.getStats()
          for (const stat of stats?.values() ?? []) {
            if (stat.type === 'inbound-rtp') this.#note(key, track, stat)
          }
        }
      }
      const at = now()
      this.late = Math.max(this.late, at - this.#sampled)
      this.#sampled = at
    } finally {
      this.#busy = false
    }
  }

  #note (key, track, { framesDecoded = 0, freezeCount = 0, totalFreezesDuration = 0 }) {
    const before = this.#seen.get(track) ?? { framesDecoded: 0, freezeCount, totalFreezesDuration }
    this.#seen.set(track, { framesDecoded, freezeCount, totalFreezesDuration })
    const rises = (this.rises[key] ??= [])
    if (framesDecoded > before.framesDecoded && rises.length < MAX_RISES) rises.push(now())
    const freezes = freezeCount - before.freezeCount
    if (freezes > 0) (this.freezes[key] ??= []).push(Math.round((totalFreezesDuration - before.totalFreezesDuration) * 1000 / freezes))
  }

  stop () {
    clearInterval(this.#timer)
    return { start: this.start, end: now(), late: this.late, rises: this.rises, freezes: this.freezes }
  }
}

// provideMeasures publishes them for a client that present() takes.
export function provideMeasures (client) {
  let watch = null
  window.measure = {
    outbound: () => outbound(client.links?.() ?? {}),
    inbound: () => inbound(client.streams()),
    watch: interval => {
      watch?.stop()
      watch = new Watch(() => client.streams(), interval)
    },
    watched: () => watch.stop()
  }
}
