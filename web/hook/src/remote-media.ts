import type { PeerLink } from './peer-link.js';

/** What a connection brings: the person, and the screen where both share one connection. */
export interface RemoteTracks {
  camera: MediaStreamTrack[];
  screen: MediaStreamTrack[];
}

interface Received {
  track: MediaStreamTrack;
  stream: string;
}

/**
 * Sorts the tracks that a link receives at this moment. A second stream with a picture is a
 * screen (clients with one connection add it after the camera). Of several tracks of one kind
 * the newest that brings media counts: a swapped camera comes in a new m-line, and clones of a
 * screen in several.
 */
export function remoteTracks(link: PeerLink): RemoteTracks {
  const received = receivedTracks(link);
  const pictures = received.filter(({ track }) => track.kind === 'video');
  const streams = [...new Set(pictures.map(({ stream }) => stream))];
  const screenStream = streams.length > 1 ? streams[streams.length - 1] : undefined;
  const pick = (wanted: (item: Received) => boolean) =>
    (['audio', 'video'] as const).flatMap((kind) => {
      const tracks = received.filter((item) => item.track.kind === kind && wanted(item)).map((item) => item.track);
      const best = tracks.findLast((track) => !track.muted) ?? tracks.at(-1);
      return best ? [best] : [];
    });
  return {
    camera: pick((item) => screenStream === undefined || item.stream !== screenStream),
    screen: screenStream === undefined ? [] : pick((item) => item.stream === screenStream),
  };
}

function receivedTracks(link: PeerLink): Received[] {
  if (link.state === 'closed') return [];
  return link.connection
    .getTransceivers()
    .filter(({ currentDirection }) => currentDirection === 'sendrecv' || currentDirection === 'recvonly')
    .map(({ receiver }) => receiver.track)
    .filter((track) => track.readyState === 'live')
    .map((track) => ({ track, stream: link.streamOf.get(track) ?? '' }));
}

/**
 * One stream for as long as there is something to show, whose tracks change underneath: an
 * element that plays it needs no new source when the far side swaps its camera.
 */
export class ComposedStream {
  #stream: MediaStream | null = null;

  /** Makes the stream consist of `tracks`; null when there are none. */
  update(tracks: MediaStreamTrack[]): MediaStream | null {
    if (tracks.length === 0) {
      for (const track of this.#stream?.getTracks() ?? []) this.#stream?.removeTrack(track);
      this.#stream = null;
      return null;
    }
    const stream = (this.#stream ??= new MediaStream());
    for (const track of stream.getTracks()) {
      if (!tracks.includes(track)) stream.removeTrack(track);
    }
    for (const track of tracks) {
      if (!stream.getTracks().includes(track)) stream.addTrack(track);
    }
    return stream;
  }
}
