// Must be imported before anything that makes connections: it keeps a list of
// every RTCPeerConnection of the page, so that the tests can read their counters
// whatever library made them.

const connections = []

const Native = window.RTCPeerConnection
window.RTCPeerConnection = class extends Native {
  constructor (...args) {
    super(...args)
    connections.push(this)
  }
}

// Milliseconds since the epoch, with the sub-millisecond part of the page's clock.
export const now = () => performance.timeOrigin + performance.now()

export const marks = { joined: null, shared: null, firstFrame: {} }

// Receivers by their track, over all living connections.
function receiversByTrack () {
  const found = new Map()
  for (const pc of connections) {
    if (pc.signalingState === 'closed') continue
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

// States, selected pairs and outgoing video of every connection that is not closed.
export async function connectionSummary () {
  const summary = []
  for (const pc of connections) {
    if (pc.signalingState === 'closed') continue
    const entry = {
      state: pc.connectionState,
      ice: pc.iceConnectionState,
      signaling: pc.signalingState,
      localUfrag: /a=ice-ufrag:(\S+)/.exec(pc.localDescription?.sdp ?? '')?.[1] ?? null,
      remoteUfrag: /a=ice-ufrag:(\S+)/.exec(pc.remoteDescription?.sdp ?? '')?.[1] ?? null,
      transceivers: pc.getTransceivers().map(t => `${t.mid}:${t.receiver.track.kind}:${t.currentDirection}`),
      pair: null,
      videoPacketsSent: 0,
      audioPacketsSent: 0
    }
    const stats = await pc.getStats()
    const byId = new Map()
    for (const stat of stats.values()) byId.set(stat.id, stat)
    for (const stat of stats.values()) {
      if (stat.type === 'outbound-rtp') entry[`${stat.kind}PacketsSent`] += stat.packetsSent ?? 0
      if (stat.type === 'candidate-pair' && stat.nominated && stat.state === 'succeeded') {
        const remote = byId.get(stat.remoteCandidateId)
        const local = byId.get(stat.localCandidateId)
        // `selected` is Firefox's own key; Chromium names the pair in its transport.
        const transport = [...stats.values()].find(s => s.type === 'transport')
        const selected = stat.selected ?? (transport ? transport.selectedCandidatePairId === stat.id : true)
        if (selected) {
          entry.pair = {
            remote: `${remote?.address ?? '?'}:${remote?.port}`,
            remotePort: remote?.port ?? null,
            remoteType: remote?.candidateType ?? null,
            protocol: local?.protocol ?? null
          }
        }
      }
    }
    summary.push(entry)
  }
  return summary
}
