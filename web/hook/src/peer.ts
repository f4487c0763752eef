import { receivedFrames } from './media-path.js';
import { ComposedStream, remoteTracks } from './remote-media.js';
import { PeerLink, type PeerLinkOptions } from './peer-link.js';
import type { UserRole } from './protocol.js';

/** Candidates kept for offers that have not come yet. */
const MAX_EARLY_CANDIDATES = 256;

/** What one connection needs from the call; see `PeerLinkOptions` for the rest. */
export interface PeerHost {
  createConnection: () => RTCPeerConnection;
  prepareCamera: (connection: RTCPeerConnection) => void;
  prepareScreen: (connection: RTCPeerConnection) => void;
  /** Awaited before a camera offer is answered. */
  ready: () => Promise<unknown>;
  online: () => boolean;
  sendDescription: (to: string, description: RTCSessionDescription, isScreenShare: boolean) => void;
  sendCandidate: (to: string, candidate: RTCIceCandidate, isScreenShare: boolean) => void;
  onChange: (peer: Peer) => void;
}

/**
 * Another member and the up to three connections with them: the camera's, the one that carries
 * the own screen there, and the one that brings theirs.
 */
export class Peer {
  readonly id: string;
  role: UserRole | undefined;
  camera: PeerLink | null = null;
  screenOut: PeerLink | null = null;
  screenIn: PeerLink | null = null;

  readonly #host: PeerHost;
  readonly #cameraStream = new ComposedStream();
  readonly #screenStream = new ComposedStream();
  #earlyCandidates: { candidate: RTCIceCandidateInit; isScreenShare: boolean }[] = [];
  #screenStopped = false;
  #frames = 0;

  constructor(id: string, role: UserRole | undefined, host: PeerHost) {
    this.id = id;
    this.role = role;
    this.#host = host;
  }

  /** Calls this member, unless a call is under way. */
  call(polite: boolean): void {
    if (this.camera) return;
    this.#openCamera(polite).offer();
  }

  /** Takes a description; `polite` settles glare on the camera's connection. */
  receive(description: RTCSessionDescriptionInit, isScreenShare: boolean, polite: boolean): void {
    if (description.type !== 'offer') {
      void (isScreenShare ? this.screenOut : this.camera)?.receive(description);
      return;
    }
    if (isScreenShare) {
      this.screenIn ??= this.#open(true, { polite: true, answersOnly: true, prepare: () => undefined });
      void this.screenIn.receive(description).then(() => {
        this.#screenStopped = false;
        this.#host.onChange(this);
      });
      this.#deliverEarly(true, this.screenIn);
    } else {
      const camera = this.camera ?? this.#openCamera(polite);
      void camera.receive(description);
      this.#deliverEarly(false, camera);
    }
  }

  addCandidate(candidate: RTCIceCandidateInit, isScreenShare: boolean): void {
    // Both ends of a mutual share bear the same flag; the fragment tells them apart.
    const links = (isScreenShare ? [this.screenOut, this.screenIn] : [this.camera]).filter((link) => link !== null);
    const owner = links.find((link) => link.owns(candidate));
    for (const link of owner ? [owner] : links) link.addCandidate(candidate);
    const offerMayCome = links.length === 0 || (isScreenShare && !this.screenIn);
    if (!owner && offerMayCome && this.#earlyCandidates.length < MAX_EARLY_CANDIDATES) {
      this.#earlyCandidates.push({ candidate, isScreenShare });
    }
  }

  /** Sends the own screen there, once there is someone who takes part in calls. */
  shareScreen(): void {
    if (this.screenOut || !this.camera?.engaged) return;
    this.screenOut = this.#open(true, { polite: false, prepare: this.#host.prepareScreen });
    this.screenOut.offer();
  }

  unshareScreen(): void {
    this.screenOut?.close();
    this.screenOut = null;
  }

  /**
   * The member says whether their screen is shared. A stopped share is out of sight at once,
   * whatever its connection does: a server may keep it for the next share, whose offer then shows
   * it again.
   */
  screenStatus(isSharing: boolean): void {
    if (!isSharing) this.#screenStopped = true;
    else if (!this.screenIn) this.#screenStopped = false;
  }

  /** Asks for other camera tracks where a picture that came has stopped. */
  async mendPicture(): Promise<void> {
    const camera = this.camera;
    if (camera?.state !== 'connected') return;
    const frames = await receivedFrames(camera.connection);
    const stalled = frames > 0 && frames === this.#frames;
    this.#frames = frames;
    if (stalled) await camera.inviteTracks();
  }

  /** What to show of this member at this moment. */
  streams(): { camera: MediaStream | null; screen: MediaStream | null } {
    const fromCamera = this.camera ? remoteTracks(this.camera) : { camera: [], screen: [] };
    const ownConnection = this.screenIn && this.screenIn.state !== 'failed' ? remoteTracks(this.screenIn).camera : [];
    const screen = ownConnection.length > 0 ? ownConnection : fromCamera.screen;
    const shown = this.#screenStopped || !screen.some((track) => track.kind === 'video') ? [] : screen;
    return { camera: this.#cameraStream.update(fromCamera.camera), screen: this.#screenStream.update(shown) };
  }

  /** The camera's connection was up, and is not. */
  get lost(): boolean {
    return this.camera?.lost === true;
  }

  /** Repairs what broke while signaling was away, unless it comes back within `patience`, ms. */
  wake(patience: number): void {
    this.camera?.wake(patience);
    this.screenOut?.wake(patience);
  }

  close(): void {
    this.camera?.close();
    this.screenOut?.close();
    this.screenIn?.close();
    this.#earlyCandidates = [];
  }

  #openCamera(polite: boolean): PeerLink {
    this.camera = this.#open(false, { polite, prepare: this.#host.prepareCamera, ready: this.#host.ready });
    return this.camera;
  }

  #open(isScreenShare: boolean, options: Pick<PeerLinkOptions, 'polite' | 'answersOnly' | 'prepare' | 'ready'>): PeerLink {
    return new PeerLink({
      ...options,
      createConnection: this.#host.createConnection,
      online: this.#host.online,
      sendDescription: (description) => this.#host.sendDescription(this.id, description, isScreenShare),
      sendCandidate: (candidate) => this.#host.sendCandidate(this.id, candidate, isScreenShare),
      onChange: () => this.#host.onChange(this),
    });
  }

  #deliverEarly(isScreenShare: boolean, link: PeerLink): void {
    const early = this.#earlyCandidates;
    this.#earlyCandidates = early.filter((item) => item.isScreenShare !== isScreenShare);
    for (const item of early) {
      if (item.isScreenShare === isScreenShare) link.addCandidate(item.candidate);
    }
  }
}
