/** How often it is looked at, ms. */
const INTERVAL = 750;
/** Looks in a row without anything new that make a silence. */
const LOOKS = 2;

/**
 * Tells when nothing more comes over connections that carried something: their network is most
 * likely gone, long before the browser says so.
 */
export class SilenceWatch {
  readonly #connections: () => RTCPeerConnection[];
  readonly #onSilence: () => void;
  readonly #timer: ReturnType<typeof setInterval>;
  #received = 0;
  #still = 0;
  #looking = false;

  constructor(connections: () => RTCPeerConnection[], onSilence: () => void) {
    this.#connections = connections;
    this.#onSilence = onSilence;
    this.#timer = setInterval(() => {
      // A browser that is slow to answer must not be asked twice at once: one look would count as two.
      if (this.#looking) return;
      this.#looking = true;
      void this.#look()
        .catch(() => undefined)
        .finally(() => (this.#looking = false));
    }, INTERVAL);
  }

  get silent(): boolean {
    return this.#still >= LOOKS;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const received = await receivedBytes(this.#connections());
    // Less than before: another connection took the place of one.
    if (received !== this.#received || received === 0) this.#still = 0;
    else if (++this.#still === LOOKS) this.#onSilence();
    this.#received = received;
  }
}

/** All that came over any candidate pair, feedback included; connectivity checks do not count. */
async function receivedBytes(connections: RTCPeerConnection[]): Promise<number> {
  let bytes = 0;
  for (const report of await Promise.all(connections.map((connection) => connection.getStats()))) {
    report.forEach((entry: { type: string; bytesReceived?: number }) => {
      if (entry.type === 'candidate-pair') bytes += entry.bytesReceived ?? 0;
    });
  }
  return bytes;
}
