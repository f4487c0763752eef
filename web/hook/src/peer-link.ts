import { candidateFragment, fingerprints, usernameFragments } from './sdp.js';

/** How long a broken connection may mend itself before ICE is restarted, ms. */
const DISCONNECTED_PATIENCE = 3_000;
/** How long a negotiated connection may take to come up, ms. */
const CONNECT_PATIENCE = 8_000;
/** The answering side lets the offering side go first, ms. */
const ANSWERER_DELAY = 4_000;
/** How long an offer that lost a glare waits for the answer to ours before it is taken after all, ms. */
const HELD_OFFER_PATIENCE = 4_000;
/** ICE restarts before the offering side builds a new connection. */
const RESTARTS = 2;
/** Candidates kept for a description that has not come yet. */
const MAX_PENDING_CANDIDATES = 256;
/** m-lines of one connection, however often tracks were invited. */
const MAX_SECTIONS = 10;

export interface PeerLinkOptions {
  /** Yields when both sides offer at once (perfect negotiation, W3C webrtc-pc section 10.7). */
  polite: boolean;
  /** Never offers by itself: the receiving end of a screen share. */
  answersOnly?: boolean;
  createConnection: () => RTCPeerConnection;
  /** Puts the own tracks in their places, before an offer or an answer is made. */
  prepare: (connection: RTCPeerConnection) => void;
  /** Awaited before an offer is answered; may last as long as a permission prompt. */
  ready?: () => Promise<unknown>;
  /** Whether signaling works at this moment; repairs wait for it. */
  online: () => boolean;
  sendDescription: (description: RTCSessionDescription) => void;
  sendCandidate: (candidate: RTCIceCandidate) => void;
  /** Tracks, directions or the connection's state have changed. */
  onChange: () => void;
}

/**
 * One peer connection between two members, with everything that keeps it going: the order of
 * descriptions and candidates, glare, ICE restarts and, when nothing else helps, a new connection.
 * All steps run one after the other, in the order in which they came.
 */
export class PeerLink {
  /** The connection of the moment; a rebuild or a rebuilt peer replaces it. */
  connection: RTCPeerConnection;
  /** The stream that each remote track came in. */
  readonly streamOf = new WeakMap<MediaStreamTrack, string>();

  readonly #options: PeerLinkOptions;
  #steps: Promise<void> = Promise.resolve();
  #closed = false;
  #offered = false;
  #offerSerial = 0;
  #held: RTCSessionDescriptionInit | null = null;
  #pending: RTCIceCandidateInit[] = [];
  #repairs = 0;
  #wasUp = false;
  #repairTimer: ReturnType<typeof setTimeout> | undefined;
  #heldTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
    this.connection = this.#connect();
  }

  get state(): RTCPeerConnectionState {
    return this.#closed ? 'closed' : this.connection.connectionState;
  }

  /** Whether the far side has ever taken part in the negotiation. */
  get engaged(): boolean {
    return !this.#closed && this.connection.remoteDescription !== null;
  }

  /** Makes the first offer; later ones follow from `negotiationneeded`. */
  offer(): void {
    this.#offered = true;
    void this.#step(() => this.#makeOffer(this.connection));
  }

  /** Puts the current own tracks in place, and negotiates if that takes a negotiation. */
  refresh(): void {
    if (this.#closed || (!this.#offered && !this.engaged)) return;
    this.#options.prepare(this.connection);
  }

  /**
   * Takes a description of the far side; resolves when that is done. Offers that newer ones
   * overtook are left out.
   */
  receive(description: RTCSessionDescriptionInit): Promise<void> {
    if (description.type !== 'offer') return this.#step(() => this.#takeAnswer(description));
    const serial = ++this.#offerSerial;
    return this.#step(() => (serial === this.#offerSerial ? this.#takeOffer(description) : undefined));
  }

  /**
   * Offers room for other tracks than those that come. Old clients that swap their camera only
   * send the new one when they are asked so.
   */
  async inviteTracks(): Promise<void> {
    await this.#step(() => {
      if (!this.#offered || this.connection.getTransceivers().length >= MAX_SECTIONS) return;
      for (const kind of ['audio', 'video']) this.connection.addTransceiver(kind, { direction: 'recvonly' });
    });
  }

  /** Takes a candidate of the far side, also before the description that it belongs to. */
  addCandidate(candidate: RTCIceCandidateInit): void {
    void this.#step(async () => {
      const known = usernameFragments(this.connection.remoteDescription?.sdp);
      const fragment = candidateFragment(candidate);
      if (this.connection.remoteDescription && (!fragment || known.includes(fragment))) {
        await this.#applyCandidate(candidate);
      } else if (this.#pending.length < MAX_PENDING_CANDIDATES) {
        this.#pending.push(candidate);
      }
    });
  }

  /** Whether a candidate belongs to the far side's current description. */
  owns(candidate: RTCIceCandidateInit): boolean {
    const fragment = candidateFragment(candidate);
    return fragment !== undefined && usernameFragments(this.connection.remoteDescription?.sdp).includes(fragment);
  }

  /** The connection, or one before it in its place, was up, and this one is not. */
  get lost(): boolean {
    return this.#wasUp && !this.#closed && this.connection.connectionState !== 'connected';
  }

  /** After a gap in signaling: repairs what broke meanwhile, unless it comes back within `patience`, ms. */
  wake(patience: number): void {
    if (!this.engaged || this.state === 'connected') return;
    clearTimeout(this.#repairTimer);
    this.#repairTimer = setTimeout(() => {
      this.#repair();
    }, patience);
  }

  /** Ends the connection without a word, as the protocol has it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#repairTimer);
    clearTimeout(this.#heldTimer);
    this.#pending = [];
    this.#release(this.connection);
  }

  #connect(): RTCPeerConnection {
    const connection = this.#options.createConnection();
    connection.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) this.#options.sendCandidate(candidate);
    };
    connection.ontrack = ({ track, streams }) => {
      this.streamOf.set(track, streams[0]?.id ?? '');
      track.onmute = track.onunmute = track.onended = () => this.#options.onChange();
      this.#options.onChange();
    };
    connection.onnegotiationneeded = () => {
      // Until the first offer has gone out or come in, the order of things is the caller's.
      if (this.#offered || this.engaged) void this.#step(() => this.#makeOffer(connection));
    };
    connection.onconnectionstatechange = () => {
      this.#stateChanged(connection);
    };
    return connection;
  }

  #release(connection: RTCPeerConnection): void {
    connection.onicecandidate = null;
    connection.ontrack = null;
    connection.onnegotiationneeded = null;
    connection.onconnectionstatechange = null;
    for (const { receiver } of connection.getTransceivers()) {
      receiver.track.onmute = receiver.track.onunmute = receiver.track.onended = null;
    }
    connection.close();
  }

  /** A new connection in the place of the old one. */
  #replace(): RTCPeerConnection {
    this.#release(this.connection);
    this.connection = this.#connect();
    return this.connection;
  }

  #step(run: () => Promise<void> | void): Promise<void> {
    this.#steps = this.#steps.then(async () => {
      if (this.#closed) return;
      try {
        await run();
      } catch (error) {
        // A bad description must not stop those that follow.
        if (!this.#closed) console.warn('negotiation:', error);
      }
      if (!this.#closed) this.#options.onChange();
    });
    return this.#steps;
  }

  async #makeOffer(connection: RTCPeerConnection): Promise<void> {
    if (connection !== this.connection || connection.signalingState !== 'stable') return;
    if (this.#options.answersOnly) return;
    this.#options.prepare(connection);
    await connection.setLocalDescription();
    if (this.#closed || connection !== this.connection) return;
    if (connection.localDescription) this.#options.sendDescription(connection.localDescription);
  }

  async #takeOffer(offer: RTCSessionDescriptionInit): Promise<void> {
    if (this.connection.signalingState === 'have-local-offer' && !this.#options.polite) {
      this.#hold(offer);
      return;
    }
    const serial = this.#offerSerial;
    await this.#options.ready?.();
    // While the camera prompt was open the caller may have gone or offered anew.
    if (this.#closed || serial !== this.#offerSerial) return;

    // Another certificate is another connection on the far side, and no browser but Chromium
    // takes it on an existing one.
    const before = fingerprints(this.connection.remoteDescription?.sdp);
    const rebuilt = before !== '' && before !== fingerprints(offer.sdp);
    const connection = rebuilt ? this.#replace() : this.connection;

    await connection.setRemoteDescription(offer);
    await this.#applyPending();
    this.#options.prepare(connection);
    await connection.setLocalDescription();
    if (this.#closed || connection !== this.connection) return;
    if (connection.localDescription) this.#options.sendDescription(connection.localDescription);
    this.#expectConnection();
  }

  async #takeAnswer(answer: RTCSessionDescriptionInit): Promise<void> {
    // After a glare that the far side won, the answer to our withdrawn offer comes late.
    if (this.connection.signalingState !== 'have-local-offer') return;
    await this.connection.setRemoteDescription(answer);
    this.#held = null;
    clearTimeout(this.#heldTimer);
    await this.#applyPending();
    this.#expectConnection();
  }

  /**
   * Our offer stands, but a far side that does not yield either would leave both waiting for
   * ever: after a while its offer is taken.
   */
  #hold(offer: RTCSessionDescriptionInit): void {
    this.#held = offer;
    clearTimeout(this.#heldTimer);
    this.#heldTimer = setTimeout(() => {
      void this.#step(async () => {
        const held = this.#held;
        this.#held = null;
        if (!held || this.connection.signalingState !== 'have-local-offer') return;
        await this.connection.setLocalDescription({ type: 'rollback' });
        await this.#takeOffer(held);
      });
    }, HELD_OFFER_PATIENCE);
  }

  async #applyPending(): Promise<void> {
    const known = usernameFragments(this.connection.remoteDescription?.sdp);
    const fits = (candidate: RTCIceCandidateInit) => {
      const fragment = candidateFragment(candidate);
      return !fragment || known.includes(fragment);
    };
    const now = this.#pending.filter(fits);
    this.#pending = this.#pending.filter((candidate) => !fits(candidate));
    for (const candidate of now) await this.#applyCandidate(candidate);
  }

  async #applyCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    // A candidate that no longer fits is no loss: others will.
    await this.connection.addIceCandidate(candidate).catch(() => undefined);
  }

  #stateChanged(connection: RTCPeerConnection): void {
    if (connection !== this.connection || this.#closed) return;
    switch (connection.connectionState) {
      case 'connected':
        this.#repairs = 0;
        this.#wasUp = true;
        clearTimeout(this.#repairTimer);
        break;
      case 'disconnected':
        this.#repairIn(DISCONNECTED_PATIENCE);
        break;
      case 'failed':
        this.#repairIn(0);
        break;
    }
    this.#options.onChange();
  }

  #expectConnection(): void {
    if (this.connection.connectionState !== 'connected') this.#repairIn(CONNECT_PATIENCE);
  }

  #repairIn(delay: number): void {
    clearTimeout(this.#repairTimer);
    const turn = this.#offered ? 0 : ANSWERER_DELAY;
    this.#repairTimer = setTimeout(() => {
      this.#repair();
    }, delay + turn);
  }

  #repair(): void {
    if (this.#closed || this.connection.connectionState === 'connected') return;
    // The offering side of a screen share mends it; here is nothing to do but to wait.
    if (this.#options.answersOnly) return;
    if (this.#options.online()) {
      this.#repairs++;
      if (this.#repairs > RESTARTS && this.#offered) {
        this.#replace();
        this.offer();
      } else {
        this.connection.restartIce();
      }
    }
    this.#repairIn(Math.min(CONNECT_PATIENCE * Math.max(1, this.#repairs), 30_000));
  }
}
