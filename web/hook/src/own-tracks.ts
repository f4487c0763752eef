import type { MediaKind } from './local-media.js';

/**
 * Keeps the own camera and microphone on a connection: one sender of each kind, whose track is
 * replaced when the device changes, so that a swap needs no negotiation and m-lines do not pile up.
 */
export class OwnTracks {
  readonly #stream: () => MediaStream;
  readonly #track: (kind: MediaKind) => MediaStreamTrack | null;
  readonly #own = new WeakMap<RTCPeerConnection, Map<MediaKind, RTCRtpTransceiver>>();

  /** `stream` names the msid, the same for all tracks and all connections of one call. */
  constructor(stream: () => MediaStream, track: (kind: MediaKind) => MediaStreamTrack | null) {
    this.#stream = stream;
    this.#track = track;
  }

  /**
   * Puts the tracks of the moment in place. A kind without a track is only received; when its
   * track comes later, the changed direction makes the connection negotiate.
   */
  prepare(connection: RTCPeerConnection): void {
    if (connection.signalingState === 'closed') return;
    let own = this.#own.get(connection);
    if (!own) this.#own.set(connection, (own = new Map()));
    for (const kind of ['audio', 'video'] as const) {
      const track = this.#track(kind);
      const transceiver = this.#place(connection, kind, track, own.get(kind));
      if (!transceiver) continue;
      own.set(kind, transceiver);
      if (track && transceiver.direction !== 'sendrecv') transceiver.direction = 'sendrecv';
      if (transceiver.sender.track !== track) {
        void transceiver.sender.replaceTrack(track).catch(() => undefined);
      }
    }
  }

  #place(
    connection: RTCPeerConnection,
    kind: MediaKind,
    track: MediaStreamTrack | null,
    current: RTCRtpTransceiver | undefined,
  ): RTCRtpTransceiver | undefined {
    const answering = connection.signalingState === 'have-remote-offer';
    if (current && usable(current) && !(answering && current.mid === null)) return current;
    const offered = connection
      .getTransceivers()
      .find((other) => other !== current && other.receiver.track.kind === kind && usable(other) && !other.sender.track);
    if (offered) {
      // What a withdrawn offer left behind would come back as an m-line of its own.
      if (current?.mid === null) current.stop();
      offered.sender.setStreams?.(this.#stream());
      return offered;
    }
    // An answer has no room for m-lines of its own.
    if (answering) return current;
    if (!track) return connection.addTransceiver(kind, { direction: 'recvonly', streams: [this.#stream()] });
    // Made by addTrack, so that an offer which crosses ours is matched to it (RFC 8829, 5.10).
    const sender = connection.addTrack(track, this.#stream());
    return connection.getTransceivers().find((other) => other.sender === sender);
  }
}

function usable(transceiver: RTCRtpTransceiver): boolean {
  return transceiver.currentDirection !== 'stopped' && transceiver.direction !== 'stopped';
}
