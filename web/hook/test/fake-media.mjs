/**
 * Stand-ins for what node lacks: tracks, streams, devices, and a peer connection that keeps the
 * signaling rules of the W3C specification (states, implicit rollback, one candidate per ufrag)
 * but carries no media. What real media does is proved in a browser.
 */
let serial = 0;

export class FakeTrack {
  readyState = 'live';
  enabled = true;
  muted = false;
  onended = null;
  contentHint = '';
  constructor(kind) {
    this.kind = kind;
    this.id = `${kind}-${++serial}`;
  }
  stop() {
    this.readyState = 'ended';
  }
}

export class FakeStream {
  #tracks;
  constructor(tracks = []) {
    this.id = `stream-${++serial}`;
    this.#tracks = [...tracks];
  }
  getTracks() {
    return [...this.#tracks];
  }
  getAudioTracks() {
    return this.#tracks.filter(({ kind }) => kind === 'audio');
  }
  getVideoTracks() {
    return this.#tracks.filter(({ kind }) => kind === 'video');
  }
  addTrack(track) {
    this.#tracks.push(track);
  }
  removeTrack(track) {
    this.#tracks = this.#tracks.filter((other) => other !== track);
  }
}

/** Puts fake devices in place; `asked` lists what was asked of them, `answer` may delay or refuse. */
export function fakeDevices() {
  const devices = { asked: [], answer: async () => undefined };
  const capture = async (constraints) => {
    devices.asked.push(constraints);
    await devices.answer(constraints);
    return new FakeStream(['audio', 'video'].filter((kind) => constraints[kind]).map((kind) => new FakeTrack(kind)));
  };
  Object.defineProperty(globalThis, 'navigator', {
    configurable: true,
    value: { mediaDevices: { getUserMedia: capture, getDisplayMedia: capture } },
  });
  globalThis.MediaStream = FakeStream;
  return devices;
}

export class FakeConnection {
  signalingState = 'stable';
  connectionState = 'new';
  localDescription = null;
  remoteDescription = null;
  candidates = [];
  stats = new Map();
  log = [];
  #transceivers = [];
  #stableLocal = null;
  #ice = 0;
  #announced = false;

  constructor() {
    this.name = ++serial;
  }

  getTransceivers() {
    return [...this.#transceivers];
  }

  getSenders() {
    return this.#transceivers.map(({ sender }) => sender);
  }

  addTransceiver(trackOrKind, { direction = 'sendrecv' } = {}) {
    const track = typeof trackOrKind === 'string' ? null : trackOrKind;
    const transceiver = this.#transceiver(track?.kind ?? trackOrKind, track, direction);
    this.#needNegotiation();
    return transceiver;
  }

  addTrack(track) {
    const transceiver = this.#transceiver(track.kind, track, 'sendrecv');
    transceiver.byTrack = true;
    this.#needNegotiation();
    return transceiver.sender;
  }

  restartIce() {
    this.log.push('restart');
    this.#ice++;
    this.#needNegotiation();
  }

  async setLocalDescription(description) {
    await undefined;
    const type = description?.type ?? (this.signalingState === 'have-remote-offer' ? 'answer' : 'offer');
    this.log.push(`local ${type}`);
    if (type === 'rollback') {
      this.#rollback();
      return;
    }
    if (type === 'offer') {
      for (const transceiver of this.#transceivers) transceiver.mid ??= String(this.#transceivers.indexOf(transceiver));
      this.#stableLocal = this.localDescription;
      this.localDescription = { type, sdp: this.#sdp() };
      this.signalingState = 'have-local-offer';
    } else {
      this.localDescription = { type, sdp: this.#sdp() };
      this.signalingState = 'stable';
      this.#settleDirections();
    }
    this.#announced = false;
    this.onicecandidate?.({ candidate: { candidate: `candidate:1 1 udp 1 192.0.2.1 ${this.name} typ host ufrag ${this.#ufrag}` } });
    this.onicecandidate?.({ candidate: null });
  }

  async setRemoteDescription({ type, sdp }) {
    await undefined;
    this.log.push(`remote ${type}`);
    if (type === 'offer') {
      if (this.signalingState === 'have-local-offer') this.#rollback();
      this.signalingState = 'have-remote-offer';
    } else {
      if (this.signalingState !== 'have-local-offer') throw new Error(`answer in ${this.signalingState}`);
      this.signalingState = 'stable';
    }
    this.remoteDescription = { type, sdp };
    const sections = [...sdp.matchAll(/^m=(\w+).*\r\na=mid:(\S+)\r\na=(\w+)\r\na=msid:(\S+)/gm)];
    for (const [, kind, mid, direction, msid] of sections) {
      let transceiver = this.#transceivers.find((other) => other.mid === mid);
      transceiver ??= this.#transceivers.find((other) => other.mid === null && other.kind === kind && other.byTrack);
      transceiver ??= this.#transceiver(kind, null, 'recvonly');
      transceiver.mid = mid;
      transceiver.remoteDirection = direction;
      if (direction === 'sendrecv' || direction === 'sendonly') {
        this.ontrack?.({ track: transceiver.receiver.track, streams: [{ id: msid }] });
      }
    }
    if (type === 'answer') this.#settleDirections();
  }

  async addIceCandidate(candidate) {
    const fragment = / ufrag (\S+)/.exec(candidate.candidate)?.[1];
    if (!this.remoteDescription?.sdp.includes(`a=ice-ufrag:${fragment}`)) throw new Error('unknown ufrag');
    this.candidates.push(candidate);
  }

  async getStats() {
    return this.stats;
  }

  close() {
    this.signalingState = 'closed';
    this.connectionState = 'closed';
  }

  /** What ICE and DTLS would do in time. */
  become(state) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  get #ufrag() {
    return `u${this.name}x${this.#ice}`;
  }

  #transceiver(kind, track, direction) {
    const connection = this;
    const transceiver = {
      kind,
      mid: null,
      get direction() {
        return direction;
      },
      set direction(next) {
        if (next !== direction && connection.signalingState === 'stable') connection.#needNegotiation();
        direction = next;
      },
      currentDirection: null,
      remoteDirection: 'inactive',
      receiver: { track: new FakeTrack(kind) },
      sender: {
        track,
        setStreams() {},
        async replaceTrack(next) {
          this.track = next;
        },
      },
      stop: () => {
        this.#transceivers = this.#transceivers.filter((other) => other !== transceiver);
      },
    };
    this.#transceivers.push(transceiver);
    return transceiver;
  }

  #needNegotiation() {
    if (this.#announced) return;
    this.#announced = true;
    queueMicrotask(() => {
      this.#announced = false;
      if (this.signalingState === 'stable') this.onnegotiationneeded?.();
    });
  }

  #rollback() {
    this.localDescription = this.#stableLocal;
    this.signalingState = 'stable';
    if (!this.remoteDescription) for (const transceiver of this.#transceivers) transceiver.mid = null;
  }

  #settleDirections() {
    for (const transceiver of this.#transceivers) {
      const sends = transceiver.direction.startsWith('send') && /recv/.test(transceiver.remoteDirection);
      const receives = /recv/.test(transceiver.direction) && transceiver.remoteDirection.startsWith('send');
      transceiver.currentDirection = sends && receives ? 'sendrecv' : sends ? 'sendonly' : receives ? 'recvonly' : 'inactive';
    }
  }

  #sdp() {
    const lines = ['v=0', `a=fingerprint:sha-256 ${String(this.name).padStart(4, '0')}`];
    for (const { kind, mid, direction } of this.#transceivers) {
      if (mid === null) continue;
      lines.push(`m=${kind} 9 UDP/TLS/RTP/SAVPF 96`, `a=mid:${mid}`, `a=${direction}`, `a=msid:s${this.name}`, `a=ice-ufrag:${this.#ufrag}`);
    }
    return `${lines.join('\r\n')}\r\n`;
  }
}
