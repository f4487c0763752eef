// Must be imported before anything that makes connections: it keeps a list of
// every RTCPeerConnection of the page, so that the tests can read their counters
// whatever library made them.

const connections = []

const query = new URLSearchParams(location.search)
const list = name => (query.get(name) ?? '').toLowerCase().split(',').filter(Boolean)
const first = list('first') // formats that the page prefers, as "audio/red"
const only = list('only') // codecs that it has, as "video/h264", others of that kind it has not

const Native = window.RTCPeerConnection
window.RTCPeerConnection = class extends Native {
  constructor (...args) {
    super(...args)
    connections.push(this)
  }

  addTrack (track, ...streams) {
    const sender = super.addTrack(track, ...streams)
    preferCodecs(this.getTransceivers().find(t => t.sender === sender), track.kind)
    return sender
  }
}

function preferCodecs (transceiver, kind) {
  const limits = only.filter(mime => mime.startsWith(`${kind}/`))
  if (limits.length === 0 && !first.some(mime => mime.startsWith(`${kind}/`))) return
  const { codecs } = RTCRtpReceiver.getCapabilities(kind)
  const mime = codec => codec.mimeType.toLowerCase()
  const kept = codecs.filter(codec => limits.length === 0 || limits.includes(mime(codec)) || mime(codec).endsWith('/rtx'))
  transceiver.setCodecPreferences([...kept.filter(c => first.includes(mime(c))), ...kept.filter(c => !first.includes(mime(c)))])
}

// Milliseconds since the epoch, with the sub-millisecond part of the page's clock.
export const now = () => performance.timeOrigin + performance.now()

export const marks = { joined: null, shared: null, firstFrame: {} }

export const openConnections = () => connections.filter(pc => pc.signalingState !== 'closed')

// Receivers by their track, over all living connections.
export function receiversByTrack () {
  const found = new Map()
  for (const pc of openConnections()) {
    for (const receiver of pc.getReceivers()) found.set(receiver.track, receiver)
  }
  return found
}

async function inboundOf (receiver) {
  for (const stat of (await receiver.getStats()).values()) {
    if (stat.type === 'inbound-rtp') return stat
  }
  return null
}

async function codecOf (receiver, stat) {
  for (const codec of (await receiver.getStats()).values()) {
    if (codec.type === 'codec' && codec.id === stat.codecId) return codec.mimeType.toLowerCase()
  }
  return null
}

// What one remote stream has delivered so far: counters summed over its tracks.
export async function streamCounters (stream, element) {
  const receivers = receiversByTrack()
  const counters = {
    streamId: stream.id,
    width: element?.videoWidth ?? 0,
    height: element?.videoHeight ?? 0,
    shownFrames: element?.getVideoPlaybackQuality().totalVideoFrames ?? 0,
    element: element ? `${element.paused ? 'paused' : 'playing'} readyState ${element.readyState}${element.ended ? ' ended' : ''}` : 'none',
    tracks: stream.getTracks().map(t => `${t.kind} ${t.id.slice(0, 8)} ${t.readyState}${t.muted ? ' muted' : ''}`),
    framesDecoded: 0,
    videoPackets: 0,
    audioPackets: 0,
    audioSamples: 0,
    audioEnergy: 0
  }
  for (const track of stream.getTracks()) {
    const receiver = receivers.get(track)
    const stat = receiver && await inboundOf(receiver)
    if (!stat) continue
    counters[`${track.kind}Codec`] = await codecOf(receiver, stat)
    if (track.kind === 'video') {
      counters.framesDecoded += stat.framesDecoded ?? 0
      counters.videoPackets += stat.packetsReceived ?? 0
    } else {
      counters.audioPackets += stat.packetsReceived ?? 0
      counters.audioSamples += stat.totalSamplesReceived ?? 0
      counters.audioEnergy += stat.totalAudioEnergy ?? 0
    }
  }
  return counters
}

// The names of the formats of the first m=audio section, in its order.
function soundFormats (sdp) {
  const [section] = /m=audio[^]*?(?=\r\nm=|$)/.exec(sdp) ?? ['']
  const [, formats = ''] = /^m=audio \d+ \S+ (.*)/.exec(section) ?? []
  return formats.split(' ').map(format => new RegExp(`a=rtpmap:${format} ([^/]+)`).exec(section)?.[1].toLowerCase())
}

// States, selected pairs and outgoing video of every connection that is not closed.
export async function connectionSummary () {
  const summary = []
  for (const pc of openConnections()) {
    const entry = {
      state: pc.connectionState,
      ice: pc.iceConnectionState,
      signaling: pc.signalingState,
      localUfrag: /a=ice-ufrag:(\S+)/.exec(pc.localDescription?.sdp ?? '')?.[1] ?? null,
      remoteUfrag: /a=ice-ufrag:(\S+)/.exec(pc.remoteDescription?.sdp ?? '')?.[1] ?? null,
      transceivers: pc.getTransceivers().map(t => `${t.mid}:${t.receiver.track.kind}:${t.currentDirection}`),
      pair: null,
      sound: soundFormats(pc.remoteDescription?.sdp ?? ''),
      sends: [], // formats of what has been sent, as "audio/opus"
      videoPacketsSent: 0,
      audioPacketsSent: 0
    }
    const stats = await pc.getStats()
    const byId = new Map()
    for (const stat of stats.values()) byId.set(stat.id, stat)
    for (const stat of stats.values()) {
      if (stat.type === 'outbound-rtp') {
        entry[`${stat.kind}PacketsSent`] += stat.packetsSent ?? 0
        if (stat.packetsSent > 0) entry.sends.push(byId.get(stat.codecId)?.mimeType.toLowerCase())
      }
      if (stat.type === 'candidate-pair') {
        const remote = byId.get(stat.remoteCandidateId)
        const local = byId.get(stat.localCandidateId)
        // `selected` is Firefox's own key; Chromium names the pair in its transport. After an ICE restart it does not
        // always call that nominated.
        const transport = [...stats.values()].find(s => s.type === 'transport')
        const selected = stat.selected ?? (transport ? transport.selectedCandidatePairId === stat.id : stat.nominated && stat.state === 'succeeded')
        if (selected) {
          entry.pair = {
            remote: `${remote?.address ?? '?'}:${remote?.port}`,
            remotePort: remote?.port ?? null,
            remoteType: remote?.candidateType ?? null,
            localType: local?.candidateType ?? null,
            protocol: local?.protocol ?? null,
            relayProtocol: local?.relayProtocol ?? null // how it reaches its TURN server
          }
        }
      }
    }
    summary.push(entry)
  }
  return summary
}
