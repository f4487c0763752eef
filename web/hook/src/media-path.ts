/** How the media of a call travels, as the browser's own statistics say it. */
export interface MediaPath {
  /** Through the server, or from browser to browser; unknown when the server does not tell. */
  route: 'relay' | 'p2p' | 'unknown';
  /** Transport below the media. */
  protocol: 'udp' | 'tcp';
  /** A TURN server stands between. */
  turn: boolean;
  /** Round trip to the far end of the transport, ms; null before the first measurement. */
  roundTripMs: number | null;
}

interface Pair {
  localCandidateId: string;
  remoteCandidateId: string;
  currentRoundTripTime?: number;
}

interface Candidate {
  candidateType?: string;
  protocol?: string;
}

/** Reads the selected candidate pair of a connected connection; null when there is none. */
export async function readMediaPath(connection: RTCPeerConnection, route: MediaPath['route']): Promise<MediaPath | null> {
  const stats = new Map<string, Record<string, unknown>>();
  (await connection.getStats()).forEach((entry: { id: string }) => stats.set(entry.id, entry as never));
  const all = [...stats.values()];
  const transport = all.find((entry) => entry['type'] === 'transport' && entry['selectedCandidatePairId']);
  const pair = (transport
    ? stats.get(transport['selectedCandidatePairId'] as string)
    : // Firefox has no transport statistics; it marks the pair.
      all.find((entry) => entry['type'] === 'candidate-pair' && entry['selected'] === true)) as Pair | undefined;
  if (!pair) return null;
  const local = stats.get(pair.localCandidateId) as Candidate | undefined;
  const remote = stats.get(pair.remoteCandidateId) as Candidate | undefined;
  return {
    route,
    protocol: local?.protocol?.toLowerCase() === 'tcp' ? 'tcp' : 'udp',
    turn: local?.candidateType === 'relay' || remote?.candidateType === 'relay',
    roundTripMs: pair.currentRoundTripTime === undefined ? null : Math.round(pair.currentRoundTripTime * 1000),
  };
}

/** Pictures received over a connection since it came up. */
export async function receivedFrames(connection: RTCPeerConnection): Promise<number> {
  let frames = 0;
  (await connection.getStats()).forEach((entry: { type: string; framesReceived?: number }) => {
    if (entry.type === 'inbound-rtp') frames += entry.framesReceived ?? 0;
  });
  return frames;
}
