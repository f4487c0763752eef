import { connectionOf, type CallConnection } from './connection.js';
import { LocalMedia } from './local-media.js';
import { readMediaPath, type MediaPath } from './media-path.js';
import { OwnTracks } from './own-tracks.js';
import { Peer } from './peer.js';
import type {
  CandidateMessage,
  ConnectionQuality,
  MediaStatus,
  MediaTrouble,
  Participants,
  RecordingAnswer,
  RecordingStatus,
  SignalingSocket,
  SignalMessage,
  UnsupportedMedia,
  UserRole,
} from './protocol.js';
import { OFFLINE, RoomLink, type RoomLinkOptions } from './room-link.js';
import { ScreenCapture } from './screen-capture.js';
import { SilenceWatch } from './silence.js';
import { Store } from './store.js';

/** Finds public addresses for calls from browser to browser; a relay needs none. */
export const DEFAULT_ICE_SERVERS: RTCIceServer[] = [{ urls: 'stun:stun.l.google.com:19302' }];

/** Members of a room that a page is prepared for; further ones are not called. */
const MAX_PEERS = 64;
/** A recruiter who was there first calls; after this long the newcomer does, ms. */
const CALL_ANYWAY = 3_000;
/** Some old recruiters' pages never call a candidate who was there first; then the candidate does, ms. */
const CALL_UNCALLED = 6_000;
/** How long after the knock, see `#knock`, ms. */
const KNOCK_PATIENCE = 4_000;
/** After a break a relay restarts ICE by itself; how long it is left to that, ms. */
const SERVER_FIRST = 2_000;
/** How often the statistics are looked at, ms. */
const STATS_INTERVAL = 3_000;

export type CallPhase =
  /** Not started, or closed. */
  | 'idle'
  | 'connecting'
  /** In the room. */
  | 'online'
  /** The connection to the server broke; media may go on meanwhile. */
  | 'reconnecting'
  /** The server does not let this client in. */
  | 'refused'
  /** The server ended the session. */
  | 'ended';

export interface CallState {
  phase: CallPhase;
  /** The own Socket.IO id, null outside the room. */
  selfId: string | null;
  /** At least one other person is connected. */
  isConnected: boolean;
  /** Cameras by user id, screens by `<user id>-screen`. */
  remoteStreams: Record<string, MediaStream>;
  isScreenSharing: boolean;
  participants: Participants;
  /** How all of it is connected, and why it is not. */
  connection: CallConnection;
  /** How the camera's connection with each person stands who takes part in the call. */
  peerStates: Record<string, RTCPeerConnectionState>;
  error: string | null;
  /** What cannot be shown of whom, because both browsers share no format for it. */
  unsupported: readonly UnsupportedMedia[];
  /** Whose media do not reach the server, the own included; empty where the server does not tell. */
  mediaTroubles: readonly MediaTrouble[];
  /** How the connections do, by the keys of `remoteStreams`; empty where the server does not tell. */
  connectionQuality: Record<string, ConnectionQuality>;
  mediaPath: MediaPath | null;
  /** Whether the interview is recorded; null where the server does not record. */
  recording: RecordingStatus | null;
  /** The socket of the call, for whatever else the page sends; null outside the room. */
  socket: SignalingSocket | null;
}

export interface CallOptions extends RoomLinkOptions {
  media: LocalMedia;
  screen: ScreenCapture;
  iceServers?: RTCIceServer[] | undefined;
  /** What is captured when an offer comes before anybody has started the camera. */
  constraints?: MediaStreamConstraints | undefined;
  displayMedia?: DisplayMediaStreamOptions | undefined;
  /** Start camera and microphone when an offer arrives; true by default. */
  autoStart?: boolean | undefined;
  /** Makes the connections; for tests and special set-ups. */
  createConnection?: ((configuration: RTCConfiguration) => RTCPeerConnection) | undefined;
}

const INITIAL: CallState = {
  phase: 'idle',
  selfId: null,
  isConnected: false,
  remoteStreams: {},
  isScreenSharing: false,
  participants: {},
  connection: { state: 'idle', reason: null },
  peerStates: {},
  error: null,
  unsupported: [],
  mediaTroubles: [],
  connectionQuality: {},
  mediaPath: null,
  recording: null,
  socket: null,
};

/**
 * One person's part in one interview: joins the room, calls and answers, shows what the others
 * send. Knows nothing of React. It can be started again after it was closed.
 */
export class Call {
  readonly store = new Store<CallState>(INITIAL);
  readonly #options: CallOptions;
  readonly #own: OwnTracks;
  readonly #peers = new Map<string, Peer>();
  #publishStream: MediaStream | null = null;
  #room: RoomLink | null = null;
  #route: MediaPath['route'] = 'unknown';
  #iceServers: RTCIceServer[];
  #unsubscribe: (() => void)[] = [];
  /** Whom to call, and whether that only waits for the own camera. */
  readonly #toCall = new Map<string, ReturnType<typeof setTimeout> | 'due'>();
  #statsTimer: ReturnType<typeof setInterval> | undefined;
  #silence: SilenceWatch | undefined;

  constructor(options: CallOptions) {
    this.#options = options;
    this.#iceServers = options.iceServers ?? DEFAULT_ICE_SERVERS;
    this.#own = new OwnTracks(
      () => (this.#publishStream ??= new MediaStream()),
      (kind) => options.media.track(kind),
    );
  }

  start(): void {
    if (this.#room) return;
    const { media } = this.#options;
    this.#unsubscribe = [
      media.onTracks(() => {
        for (const peer of this.#peers.values()) peer.camera?.refresh();
      }),
      media.store.subscribe(() => {
        this.#callThoseDue();
      }),
    ];
    this.#set({ ...INITIAL, phase: 'connecting' });
    this.#statsTimer = setInterval(() => {
      void this.#lookUpPath();
      this.#mendPictures();
    }, STATS_INTERVAL);
    const silence = new SilenceWatch(
      () => this.#connected(),
      () => void this.#room?.check(() => silence.silent),
    );
    this.#silence = silence;
    this.#room = new RoomLink(this.#options, {
      joining: (selfId) => {
        this.#forgetPeers();
        this.#set({ selfId, participants: {}, error: null, unsupported: [], mediaTroubles: [], recording: null });
      },
      joined: ({ mode }) => this.#sent(mode),
      mode: (mode) => this.#sent(mode),
      recording: (recording) => this.#set({ recording }),
      resumed: () => {
        this.#set({ phase: 'online', error: null });
        for (const peer of this.#peers.values()) peer.wake(this.#route === 'relay' ? SERVER_FIRST : 0);
      },
      interrupted: (message) => {
        const { phase } = this.store.getSnapshot();
        this.#set({ ...(phase === 'online' ? { phase: 'reconnecting' } : {}), error: message, connectionQuality: {} });
      },
      refused: (message) => this.#leave('refused', message),
      ended: () => this.#leave('ended', null),
      troubled: (message) => this.#set({ error: message }),
      roomUsers: (users) => this.#roomUsers(users),
      userJoined: (id, role) => this.#userJoined(id, role),
      userLeft: (id) => this.#userLeft(id),
      signal: (message) => this.#signal(message),
      candidate: (message) => this.#candidate(message),
      screenStatus: (id, isSharing) => {
        this.#peers.get(id)?.screenStatus(isSharing);
        if (!isSharing) this.#untroubled((trouble) => trouble.userId === id && trouble.isScreenShare && !trouble.own);
        this.#publish();
      },
      unsupported: (media) => {
        this.#set({ unsupported: [...this.#supportedBy(media.userId, media), media] });
      },
      mediaStatus: (status) => {
        this.#mediaStatus(status);
      },
      quality: (connections) => {
        const told = connections.map((one): [string, ConnectionQuality] => [qualityKey(one), one]);
        this.#set({ connectionQuality: this.#presentOf(Object.fromEntries(told)) });
      },
      iceServers: (servers) => {
        if (!this.#options.iceServers) this.#iceServers = servers;
      },
    });
    this.#set({ socket: this.#room.socket });
  }

  /** Leaves the room and releases the screen; camera and microphone stay with `LocalMedia`. */
  close(): void {
    this.#leave('idle', null);
  }

  /** Starts to record the interview, which only a recruiter may. */
  startRecording(): Promise<RecordingAnswer> {
    return this.#request('recording-start');
  }

  stopRecording(): Promise<RecordingAnswer> {
    return this.#request('recording-stop');
  }

  /** Says whether one agrees to be recorded; it may be said again, and otherwise. */
  giveConsent(agreed: boolean): Promise<RecordingAnswer> {
    return this.#request('recording-consent', { agreed });
  }

  #request(event: string, payload: Record<string, unknown> = {}): Promise<RecordingAnswer> {
    const { interviewId } = this.#options;
    return this.#room?.request(event, { interviewId, ...payload }) ?? Promise.resolve(OFFLINE);
  }

  /** Shares a screen with everyone who is or will be in the call; null when there is none. */
  async startScreenShare(options?: DisplayMediaStreamOptions): Promise<MediaStream | null> {
    const { screen, displayMedia } = this.#options;
    const already = screen.ref.current;
    if (already) return already;
    const stream = await screen.start(options ?? displayMedia ?? { video: true, audio: true }, () => this.stopScreenShare());
    if (!stream) {
      if (screen.failure) this.#set({ error: `Screen share error: ${screen.failure.message}` });
      return null;
    }
    if (!this.#room) {
      screen.stop();
      return null;
    }
    // Two callers may have waited for the same prompt.
    if (this.store.getSnapshot().isScreenSharing) return stream;
    this.#set({ isScreenSharing: true, error: null });
    this.#announceScreen();
    return stream;
  }

  stopScreenShare(): void {
    const { screen, interviewId } = this.#options;
    screen.stop();
    if (!this.store.getSnapshot().isScreenSharing) return;
    for (const peer of this.#peers.values()) peer.unshareScreen();
    this.#room?.send('screen-share-status', { interviewId, isSharing: false });
    this.#untroubled(({ isScreenShare, own }) => isScreenShare && own);
    this.#set({ isScreenSharing: false });
  }

  /** Notes which way the media of the room go. */
  #sent(mode: MediaPath['route'] | undefined): void {
    this.#route = mode ?? 'unknown';
    void this.#lookUpPath();
  }

  #announceScreen(): void {
    this.#room?.send('screen-share-status', { interviewId: this.#options.interviewId, isSharing: true });
    for (const peer of this.#peers.values()) peer.shareScreen();
  }

  /** What is noted as unsupported, without one person's part, or without one kind of that. */
  #supportedBy(id: string, only?: UnsupportedMedia): readonly UnsupportedMedia[] {
    const { unsupported } = this.store.getSnapshot();
    const gone = (noted: UnsupportedMedia) =>
      noted.userId === id && (!only || (noted.kind === only.kind && noted.isScreenShare === only.isScreenShare));
    return unsupported.some(gone) ? unsupported.filter((noted) => !gone(noted)) : unsupported;
  }

  #mediaStatus(status: MediaStatus): void {
    this.#untroubled(
      ({ userId, isScreenShare, own }) =>
        userId === status.userId && isScreenShare === status.isScreenShare && own === status.own,
    );
    const { state } = status;
    if (state === 'ok' || !this.#peers.has(status.userId)) return;
    this.#set({ mediaTroubles: [...this.store.getSnapshot().mediaTroubles, { ...status, state }] });
  }

  /** Forgets the troubles of which that holds. */
  #untroubled(over: (trouble: MediaTrouble) => boolean): void {
    const { mediaTroubles } = this.store.getSnapshot();
    if (mediaTroubles.some(over)) this.#set({ mediaTroubles: mediaTroubles.filter((trouble) => !over(trouble)) });
  }

  /** Changes the snapshot and works out how all of it is connected. */
  #set(change: Partial<CallState>): void {
    const before = this.store.getSnapshot();
    const lost = [...this.#peers.values()].some((peer) => peer.lost);
    const connection = connectionOf({ ...before, ...change }, lost);
    const same = connection.state === before.connection.state && connection.reason === before.connection.reason;
    this.store.set({ ...change, connection: same ? before.connection : connection });
  }

  #leave(phase: CallPhase, error: string | null): void {
    const room = this.#room;
    if (!room) return;
    this.#options.screen.stop();
    for (const stop of this.#unsubscribe) stop();
    clearInterval(this.#statsTimer);
    this.#silence?.stop();
    this.#forgetPeers();
    this.#room = null;
    room.close();
    this.#set({ ...INITIAL, phase, error });
  }

  #forgetPeers(): void {
    for (const id of [...this.#toCall.keys()]) this.#callNoMore(id);
    for (const peer of this.#peers.values()) peer.close();
    this.#peers.clear();
    this.#publish();
  }

  #roomUsers(users: Participants): void {
    const selfId = this.#room?.selfId;
    const back = this.store.getSnapshot().phase !== 'online';
    this.#set({ participants: users, phase: 'online', ...(back ? { error: null } : {}) });
    for (const id of this.#peers.keys()) {
      if (!(id in users)) this.#userLeft(id);
    }
    for (const [id, { userRole }] of Object.entries(users)) {
      if (id === selfId || !this.#peer(id, userRole)) continue;
      // Among recruiters those who were there first call, so that two offers do not cross.
      this.#callSoon(id, userRole, CALL_ANYWAY);
    }
    if (this.store.getSnapshot().isScreenSharing) this.#announceScreen();
  }

  #userJoined(id: string, userRole: UserRole): void {
    if (id === this.#room?.selfId) return;
    this.#set({ participants: { ...this.store.getSnapshot().participants, [id]: { userRole } } });
    if (this.#peer(id, userRole)) this.#callSoon(id, userRole, 0);
  }

  #userLeft(id: string): void {
    this.#callNoMore(id);
    this.#peers.get(id)?.close();
    this.#peers.delete(id);
    this.#untroubled(({ userId }) => userId === id);
    const participants = Object.entries(this.store.getSnapshot().participants).filter(([other]) => other !== id);
    this.#set({ participants: Object.fromEntries(participants), unsupported: this.#supportedBy(id) });
    this.#publish();
  }

  /** Recruiters call; candidates wait to be called, within reason. */
  #callSoon(id: string, role: UserRole, recruiterDelay: number): void {
    if (this.#toCall.has(id)) return;
    const calls = this.#options.userRole === 'recruiter';
    if (!calls && role === 'candidate') return;
    const delay = !calls ? CALL_UNCALLED : role === 'recruiter' ? recruiterDelay : 0;
    const due = () => {
      this.#toCall.set(id, 'due');
      this.#callThoseDue();
    };
    const first = () => {
      if (calls || this.#route === 'relay') {
        due();
        return;
      }
      this.#knock(id);
      this.#toCall.set(id, setTimeout(due, KNOCK_PATIENCE));
    };
    if (delay === 0) first();
    else this.#toCall.set(id, setTimeout(first, delay));
  }

  /**
   * Gets an old recruiter's page to call: it makes a connection, and an offer, for whoever sends it
   * a candidate. An offer to it would do so as well, and then both have to yield at once.
   */
  #knock(id: string): void {
    if (this.#peers.get(id)?.camera) return;
    const candidate = { candidate: '', sdpMid: '0', sdpMLineIndex: 0 };
    this.#room?.send('ice-candidate', { to: id, candidate, isScreenShare: false });
  }

  #callThoseDue(): void {
    const { stream, failure, starting } = this.#options.media.store.getSnapshot();
    // Without a camera one can still see and hear: a failed start is an answer, too.
    if (starting || (!stream && !failure)) return;
    for (const [id, due] of this.#toCall) {
      if (due !== 'due') continue;
      this.#toCall.delete(id);
      const peer = this.#peers.get(id);
      // A recruiter of old calls back on the very offer; where both yielded, neither would be answered.
      peer?.call(this.#options.userRole === 'recruiter' && this.#polite(peer));
    }
  }

  #callNoMore(id: string): void {
    const due = this.#toCall.get(id);
    if (due !== undefined && due !== 'due') clearTimeout(due);
    this.#toCall.delete(id);
  }

  /** What a relay does by itself; see `PeerLink.inviteTracks`. */
  #mendPictures(): void {
    if (this.#route === 'relay') return;
    for (const peer of this.#peers.values()) void peer.mendPicture().catch(() => undefined);
  }

  #signal({ from, signal, type, isScreenShare }: SignalMessage): void {
    if (!signal || (type !== 'offer' && type !== 'answer') || typeof signal.sdp !== 'string') return;
    const peer = this.#peer(from, this.store.getSnapshot().participants[from]?.userRole);
    peer?.receive({ type, sdp: signal.sdp }, isScreenShare === true, this.#polite(peer));
  }

  #candidate({ from, candidate, isScreenShare }: CandidateMessage): void {
    if (!candidate?.candidate) return;
    this.#peer(from, undefined)?.addCandidate(candidate, isScreenShare === true);
  }

  /** The member of that id, taken note of on the first occasion; undefined past the bound. */
  #peer(id: string, role: UserRole | undefined): Peer | undefined {
    const known = this.#peers.get(id);
    if (known) {
      known.role = role ?? known.role;
      return known;
    }
    if (this.#peers.size >= MAX_PEERS) return undefined;
    const room = this.#room;
    const { createConnection = (configuration) => new RTCPeerConnection(configuration) } = this.#options;
    const peer = new Peer(id, role, {
      createConnection: () => createConnection({ iceServers: this.#iceServers }),
      prepareCamera: (connection) => this.#own.prepare(connection),
      prepareScreen: (connection) => this.#options.screen.prepare(connection),
      ready: () => this.#readyToAnswer(),
      online: () => room?.online === true,
      sendDescription: (to, { type, sdp }, isScreenShare) =>
        room?.send('signal', { to, from: room.selfId, signal: { type, sdp }, type, isScreenShare }),
      sendCandidate: (to, candidate, isScreenShare) => room?.send('ice-candidate', { to, candidate, isScreenShare }),
      onChange: (changed) => {
        if (this.#peers.get(changed.id) !== changed) return;
        if (this.store.getSnapshot().isScreenSharing) changed.shareScreen();
        this.#publish();
      },
    });
    this.#peers.set(id, peer);
    return peer;
  }

  /** A candidate's camera starts with the first offer at the latest, and only once for several. */
  async #readyToAnswer(): Promise<void> {
    const { media, autoStart = true, constraints } = this.#options;
    const { stream, starting, failure } = media.store.getSnapshot();
    if (stream || (!starting && (!autoStart || failure))) return;
    await media.start(constraints);
  }

  /** Candidates yield to recruiters; among recruiters the ids decide. */
  #polite(peer: Peer): boolean {
    if (this.#options.userRole !== 'recruiter') return true;
    return peer.role !== 'candidate' && (this.#room?.selfId ?? '') < peer.id;
  }

  #publish(): void {
    const before = this.store.getSnapshot();
    const remoteStreams: Record<string, MediaStream> = {};
    const peerStates: Record<string, RTCPeerConnectionState> = {};
    for (const peer of this.#peers.values()) {
      const { camera, screen } = peer.streams();
      if (camera) remoteStreams[peer.id] = camera;
      if (screen) remoteStreams[`${peer.id}-screen`] = screen;
      if (peer.camera?.engaged) peerStates[peer.id] = peer.camera.state;
    }
    const isConnected = Object.values(peerStates).includes('connected');
    const connectionQuality = this.#presentOf(before.connectionQuality);
    this.#set({
      isConnected,
      remoteStreams: sameEntries(before.remoteStreams, remoteStreams) ? before.remoteStreams : remoteStreams,
      peerStates: sameEntries(before.peerStates, peerStates) ? before.peerStates : peerStates,
      connectionQuality: sameEntries(before.connectionQuality, connectionQuality) ? before.connectionQuality : connectionQuality,
      ...(isConnected ? {} : { mediaPath: null }),
    });
    if (isConnected && !before.isConnected) void this.#lookUpPath();
  }

  /** Without the connections that are not there any more. */
  #presentOf(quality: Record<string, ConnectionQuality>): Record<string, ConnectionQuality> {
    const present = Object.entries(quality).filter(([, { userId, isScreenShare }]) => {
      const peer = this.#peers.get(userId);
      return isScreenShare ? peer?.screenIn || peer?.screenOut : peer?.camera;
    });
    return Object.fromEntries(present);
  }

  /** The cameras' connections that were up when last heard of. */
  #connected(): RTCPeerConnection[] {
    return [...this.#peers.values()].flatMap(({ camera }) => (camera?.state === 'connected' || camera?.lost ? [camera.connection] : []));
  }

  async #lookUpPath(): Promise<void> {
    const peer = [...this.#peers.values()].find(({ camera }) => camera?.state === 'connected');
    if (!peer?.camera) return;
    const path = await readMediaPath(peer.camera.connection, this.#route).catch(() => null);
    const { mediaPath } = this.store.getSnapshot();
    if (path && this.store.getSnapshot().isConnected && JSON.stringify(path) !== JSON.stringify(mediaPath)) {
      this.#set({ mediaPath: path });
    }
  }
}

function qualityKey({ userId, isScreenShare }: ConnectionQuality): string {
  return isScreenShare ? `${userId}-screen` : userId;
}

function sameEntries<Value>(a: Record<string, Value>, b: Record<string, Value>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
