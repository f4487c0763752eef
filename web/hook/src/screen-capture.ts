import { stopTracks, toFailure, type MediaFailure } from './local-media.js';

/** Text stays readable at this rate even when everything moves, bit/s. */
const SCREEN_BITRATE = 3_000_000;

/** The capture of the own screen, one at a time. */
export class ScreenCapture {
  /** Always the current capture: the ref that the hook hands out. */
  readonly ref: { current: MediaStream | null } = { current: null };
  failure: MediaFailure | null = null;

  #pending: Promise<MediaStream | null> | null = null;
  #generation = 0;

  /**
   * Asks for a screen. Resolves with null when the user declined, it failed (see `failure`) or it
   * was stopped meanwhile. `ended` is called when the user ends the share in the browser's own bar.
   */
  start(options: DisplayMediaStreamOptions, ended: () => void): Promise<MediaStream | null> {
    if (this.ref.current) return Promise.resolve(this.ref.current);
    if (this.#pending) return this.#pending;
    const generation = ++this.#generation;
    this.failure = null;
    this.#pending = this.#capture(options)
      .then((stream) => {
        if (generation !== this.#generation) {
          stopTracks(stream);
          return null;
        }
        this.ref.current = stream;
        for (const track of stream.getVideoTracks()) {
          track.contentHint = 'detail';
          track.onended = ended;
        }
        return stream;
      })
      .catch((error: unknown) => {
        const failure = toFailure(error);
        // To change one's mind in the picker is no failure.
        if (generation === this.#generation && failure.name !== 'NotAllowedError') this.failure = failure;
        return null;
      })
      .finally(() => {
        if (generation === this.#generation) this.#pending = null;
      });
    return this.#pending;
  }

  stop(): void {
    this.#generation++;
    this.#pending = null;
    if (this.ref.current) stopTracks(this.ref.current);
    this.ref.current = null;
  }

  /** Puts each captured track on a connection, once. */
  prepare(connection: RTCPeerConnection): void {
    const stream = this.ref.current;
    if (!stream || connection.signalingState === 'closed') return;
    const sent = connection.getSenders().map((sender) => sender.track);
    for (const track of [...stream.getAudioTracks(), ...stream.getVideoTracks()]) {
      if (sent.includes(track)) continue;
      connection.addTransceiver(track, {
        direction: 'sendonly',
        streams: [stream],
        ...(track.kind === 'video' ? { sendEncodings: [{ maxBitrate: SCREEN_BITRATE }] } : {}),
      });
    }
  }

  async #capture(options: DisplayMediaStreamOptions): Promise<MediaStream> {
    if (!globalThis.navigator?.mediaDevices?.getDisplayMedia) {
      throw new DOMException('this browser cannot share a screen', 'NotSupportedError');
    }
    return navigator.mediaDevices.getDisplayMedia(options);
  }
}
