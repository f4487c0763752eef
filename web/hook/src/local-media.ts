import { Store } from './store.js';

export type MediaKind = 'audio' | 'video';

/** Why a camera, microphone or screen could not be had. `name` is that of the DOMException. */
export interface MediaFailure {
  name: string;
  message: string;
}

export interface LocalMediaState {
  /** What is captured, null before the start and after the stop. */
  stream: MediaStream | null;
  /** A permission prompt may be open. */
  starting: boolean;
  audioEnabled: boolean;
  videoEnabled: boolean;
  failure: MediaFailure | null;
  /** Devices whose tracks ended by themselves (unplugged, taken away by the system). */
  lost: readonly MediaKind[];
}

/** What `startLocalStream` captures unless told otherwise. */
export const DEFAULT_CONSTRAINTS: MediaStreamConstraints = {
  audio: true,
  video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { max: 30 } },
};

/** One device of a pair missing or busy: the other is worth trying alone. */
const WORTH_HALF = new Set(['NotFoundError', 'NotReadableError', 'OverconstrainedError']);

export function toFailure(error: unknown): MediaFailure {
  if (error instanceof Error) return { name: error.name, message: error.message };
  return { name: 'Error', message: String(error) };
}

/**
 * Camera and microphone. There is one capture at a time: a second `start` while a prompt is open
 * waits for the first, and what arrives after a `stop` is stopped at once.
 */
export class LocalMedia {
  readonly store = new Store<LocalMediaState>({
    stream: null,
    starting: false,
    audioEnabled: true,
    videoEnabled: true,
    failure: null,
    lost: [],
  });
  /** Always the current stream: the ref that the hook hands out. */
  readonly ref: { current: MediaStream | null } = { current: null };

  #pending: Promise<MediaStream | null> | null = null;
  #generation = 0;
  readonly #listeners = new Set<() => void>();

  /** Calls `listener` whenever there are other tracks to send; returns how to stop that. */
  onTracks(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  track(kind: MediaKind): MediaStreamTrack | null {
    const tracks = kind === 'audio' ? this.ref.current?.getAudioTracks() : this.ref.current?.getVideoTracks();
    return tracks?.find((track) => track.readyState === 'live') ?? null;
  }

  /**
   * Starts the capture, or returns the one that runs. Resolves with null when it failed (see
   * `failure`) or was stopped meanwhile. Constraints without audio and video give an empty stream:
   * taking part without being seen or heard.
   */
  start(constraints: MediaStreamConstraints = DEFAULT_CONSTRAINTS): Promise<MediaStream | null> {
    if (this.#pending) return this.#pending;
    const running = this.ref.current;
    if (running && this.#stillServes(running, constraints)) return Promise.resolve(running);
    const generation = ++this.#generation;
    this.store.set({ starting: true, failure: null });
    const pending = this.#capture(constraints)
      .then((stream) => {
        if (generation !== this.#generation) {
          stopTracks(stream);
          return null;
        }
        this.#adopt(stream);
        return stream;
      })
      .catch((error: unknown) => {
        if (generation === this.#generation) this.store.set({ failure: toFailure(error) });
        return null;
      })
      .finally(() => {
        if (generation !== this.#generation) return;
        this.#pending = null;
        this.store.set({ starting: false });
      });
    this.#pending = pending;
    return pending;
  }

  /** Releases camera and microphone. */
  stop(): void {
    this.#generation++;
    this.#pending = null;
    const stream = this.ref.current;
    this.ref.current = null;
    if (stream) stopTracks(stream);
    this.store.set({ stream: null, starting: false, lost: [] });
    if (stream) this.#notify();
  }

  /** Mutes or unmutes. Muted tracks go on as silence or black, so no negotiation is needed. */
  setEnabled(kind: MediaKind, enabled: boolean): void {
    this.store.set(kind === 'audio' ? { audioEnabled: enabled } : { videoEnabled: enabled });
    for (const track of this.ref.current?.getTracks() ?? []) {
      if (track.kind === kind) track.enabled = enabled;
    }
  }

  /**
   * Captures from another device and puts its track in the place of the old one. Resolves with
   * whether that worked; the old device goes on when it did not.
   */
  async switchDevice(kind: MediaKind, deviceId: string): Promise<boolean> {
    const stream = this.ref.current;
    if (!stream || !navigator.mediaDevices) return false;
    const generation = this.#generation;
    const usual = kind === 'video' && typeof DEFAULT_CONSTRAINTS.video === 'object' ? DEFAULT_CONSTRAINTS.video : {};
    try {
      const captured = await navigator.mediaDevices.getUserMedia({
        [kind]: { ...usual, ...(deviceId ? { deviceId: { exact: deviceId } } : {}) },
      });
      const track = captured.getTracks()[0];
      if (!track || generation !== this.#generation) {
        stopTracks(captured);
        return false;
      }
      for (const old of stream.getTracks()) {
        if (old.kind !== kind) continue;
        old.onended = null;
        old.stop();
        stream.removeTrack(old);
      }
      this.#watch(track);
      stream.addTrack(track);
      this.store.set({ failure: null, lost: this.store.getSnapshot().lost.filter((lost) => lost !== kind) });
      this.#notify();
      return true;
    } catch (error) {
      this.store.set({ failure: toFailure(error) });
      return false;
    }
  }

  /**
   * Captures again what the system took away, such as the microphone of a phone that rang.
   * For `visibilitychange` and the like.
   */
  async recover(): Promise<void> {
    for (const kind of this.store.getSnapshot().lost) await this.switchDevice(kind, '');
  }

  async #capture(constraints: MediaStreamConstraints): Promise<MediaStream> {
    const { audio, video } = constraints;
    if (!audio && !video) return new MediaStream();
    if (!globalThis.navigator?.mediaDevices) {
      throw new DOMException('camera and microphone need https or localhost', 'SecurityError');
    }
    try {
      return await navigator.mediaDevices.getUserMedia(constraints);
    } catch (error) {
      if (!audio || !video || !WORTH_HALF.has(toFailure(error).name)) throw error;
      return navigator.mediaDevices
        .getUserMedia({ audio })
        .catch(() => navigator.mediaDevices.getUserMedia({ video }))
        .catch(() => {
          throw error;
        });
    }
  }

  #stillServes(stream: MediaStream, wanted: MediaStreamConstraints): boolean {
    const live = (kind: MediaKind) => this.track(kind) !== null;
    if (stream !== this.ref.current) return false;
    return (!wanted.audio || live('audio')) && (!wanted.video || live('video'));
  }

  #adopt(stream: MediaStream): void {
    const old = this.ref.current;
    this.ref.current = stream;
    if (old && old !== stream) stopTracks(old);
    const { audioEnabled, videoEnabled } = this.store.getSnapshot();
    for (const track of stream.getTracks()) {
      track.enabled = track.kind === 'audio' ? audioEnabled : videoEnabled;
      this.#watch(track);
    }
    this.store.set({ stream, lost: [] });
    this.#notify();
  }

  #watch(track: MediaStreamTrack): void {
    const kind = track.kind as MediaKind;
    track.enabled = kind === 'audio' ? this.store.getSnapshot().audioEnabled : this.store.getSnapshot().videoEnabled;
    track.onended = () => {
      const { lost } = this.store.getSnapshot();
      if (!lost.includes(kind)) this.store.set({ lost: [...lost, kind] });
      this.#notify();
    };
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

export function stopTracks(stream: MediaStream): void {
  for (const track of stream.getTracks()) {
    track.onended = null;
    track.stop();
  }
}
