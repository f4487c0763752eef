import { io } from 'socket.io-client';
import type {
  CandidateMessage,
  ConnectionQuality,
  JoinAck,
  Listener,
  MediaStatus,
  Participants,
  RecordingAnswer,
  RecordingStatus,
  ServerError,
  SignalingSocket,
  SignalMessage,
  UnsupportedMedia,
  UserRole,
} from './protocol.js';
import { StaleSocket } from './stale-socket.js';

export interface RoomLinkOptions {
  interviewId: string;
  userRole: UserRole;
  /** Where the server is; the page's own origin by default. */
  url?: string | undefined;
  /** A socket of the caller's, which is used but never closed. */
  socket?: SignalingSocket | undefined;
  /** The `auth` payload of the Socket.IO handshake. */
  auth?: Record<string, unknown> | undefined;
}

export interface RoomLinkHandlers {
  /** Joined under a new id: whatever was known of the room before is void. */
  joining: (selfId: string) => void;
  joined: (ack: JoinAck) => void;
  /** The same session goes on after a break, nothing was missed. */
  resumed: () => void;
  /** No connection at the moment; the client goes on trying. */
  interrupted: (message: string) => void;
  /** The server or the network refused for good; no attempt follows by itself. */
  refused: (message: string) => void;
  /** The server ended the session. */
  ended: () => void;
  troubled: (message: string) => void;
  roomUsers: (users: Participants) => void;
  userJoined: (id: string, role: UserRole) => void;
  userLeft: (id: string) => void;
  signal: (message: SignalMessage) => void;
  candidate: (message: CandidateMessage) => void;
  screenStatus: (id: string, isSharing: boolean) => void;
  unsupported: (media: UnsupportedMedia) => void;
  quality: (connections: ConnectionQuality[]) => void;
  mediaStatus: (status: MediaStatus) => void;
  recording: (status: RecordingStatus) => void;
  /** The room's media go another way from now on. */
  mode: (mode: JoinAck['mode']) => void;
  iceServers: (servers: RTCIceServer[]) => void;
}

/** Words that a later server may add are not understood. */
const LEVELS: readonly unknown[] = ['good', 'fair', 'poor', 'lost'];
const MEDIA_STATES: readonly unknown[] = ['no-connection', 'no-media', 'ok'];
const RECORDING_STATES: readonly unknown[] = ['off', 'waiting', 'recording', 'failed'];
const MODES: readonly unknown[] = ['relay', 'p2p'];

/** Refusals that pass: a place may become free, another server take this one's. */
const PASSING: readonly unknown[] = ['room-full', 'too-many-rooms', 'draining'];
/** Who was in the room asks again after this long, ms, and so often. */
const REJOIN_AFTER = 3_000;
const REJOINS = 20;

/** The answer to a request that could not be sent. */
export const OFFLINE: RecordingAnswer = { ok: false, code: 'offline', message: 'there is no connection to the server' };

/** How long the answer to a request may take, ms. */
const ANSWER_TIMEOUT = 10_000;

/** Messages kept through a break, for a session that goes on afterwards. */
const MAX_KEPT = 512;

/**
 * Membership in one room over one Socket.IO connection: joins, joins again under a new id when the
 * session is lost, and goes on without a word when the server has kept it.
 */
export class RoomLink {
  readonly socket: SignalingSocket;
  readonly #options: RoomLinkOptions;
  readonly #handlers: RoomLinkHandlers;
  readonly #owned: boolean;
  readonly #listeners: [string, Listener][] = [];
  #selfId = '';
  #isIn = false;
  #wasIn = false;
  #rejoins = 0;
  #rejoinTimer: ReturnType<typeof setTimeout> | undefined;
  #kept: [string, unknown][] = [];
  /** The server answers events; others do not know `ice-servers`. */
  #answers = false;
  readonly #stale: StaleSocket;

  constructor(options: RoomLinkOptions, handlers: RoomLinkHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#owned = !options.socket;
    this.socket = options.socket ?? openSocket(options);
    this.#stale = new StaleSocket(this.socket, (answer) => this.#iceServers(answer));
    this.#listen();
    if (this.socket.connected) this.#connected();
    else if (this.#owned) this.socket.connect();
  }

  get online(): boolean {
    return this.socket.connected && this.#selfId !== '';
  }

  get selfId(): string {
    return this.#selfId;
  }

  send(event: 'signal' | 'ice-candidate' | 'screen-share-status', payload: Record<string, unknown>): void {
    if (this.online) {
      this.socket.emit(event, payload);
    } else if (this.#kept.length < MAX_KEPT) {
      // Socket.IO would send what it buffers before the new session has joined.
      this.#kept.push([event, payload]);
    }
  }

  /** Asks for something that makes no sense later; settles always. */
  request(event: string, payload: Record<string, unknown>): Promise<RecordingAnswer> {
    if (!this.online) return Promise.resolve(OFFLINE);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        resolve({ ok: false, code: 'no-answer', message: 'the server does not answer' });
      }, ANSWER_TIMEOUT);
      this.socket.emit(event, payload, (ack: { ok?: boolean; code?: string; message?: string } | undefined) => {
        clearTimeout(timer);
        if (ack?.ok === true) resolve({ ok: true });
        else resolve({ ok: false, code: ack?.code ?? '', message: ack?.message ?? 'the server refused' });
      });
    });
  }

  /** Media have fallen silent: finds out whether signaling is alive, for as long as `silent` says so. */
  async check(silent: () => boolean): Promise<void> {
    if (this.online && this.#answers) await this.#stale.check(silent);
  }

  close(): void {
    this.#stale.stop();
    for (const [event, listener] of this.#listeners) this.socket.off(event, listener);
    this.#listeners.length = 0;
    this.#kept = [];
    clearTimeout(this.#rejoinTimer);
    if (this.#owned) this.socket.disconnect();
  }

  #listen(): void {
    const handlers = this.#handlers;
    this.#on('connect', () => {
      this.#connected();
    });
    this.#on('disconnect', (reason: string) => {
      if (reason === 'io server disconnect') handlers.ended();
      else if (reason !== 'io client disconnect') handlers.interrupted('the connection to the server broke');
    });
    this.#on('connect_error', (error: Error) => {
      if (this.socket.active === false) handlers.refused(error.message);
      else handlers.interrupted(`the server cannot be reached: ${error.message}`);
    });
    this.#on('join-error', (error: ServerError) => {
      this.#refused(error);
    });
    this.#on('error-message', (error: ServerError) => {
      handlers.troubled(error?.message ?? 'the server refused a message');
    });
    this.#on('room-users', (users: Participants) => {
      if (!users || typeof users !== 'object') return;
      this.#isIn = this.#wasIn = true;
      this.#rejoins = 0;
      handlers.roomUsers(users);
    });
    this.#on('user-joined', (user: { userId: string; userRole: UserRole }) => {
      handlers.userJoined(user.userId, user.userRole);
    });
    this.#on('user-left', (user: { userId: string }) => {
      handlers.userLeft(user.userId);
    });
    this.#on('signal', (message: SignalMessage) => {
      handlers.signal(message);
    });
    this.#on('ice-candidate', (message: CandidateMessage) => {
      handlers.candidate(message);
    });
    this.#on('screen-share-status', (status: { userId: string; isSharing: boolean }) => {
      handlers.screenStatus(status.userId, status.isSharing);
    });
    this.#on('media-unsupported', (media: UnsupportedMedia) => {
      if (typeof media?.userId === 'string') handlers.unsupported(media);
    });
    this.#on('connection-quality', (connections: ConnectionQuality[]) => {
      if (Array.isArray(connections)) handlers.quality(connections.filter((one) => LEVELS.includes(one?.quality)));
    });
    this.#on('media-status', (status: MediaStatus) => {
      if (typeof status?.userId === 'string' && MEDIA_STATES.includes(status.state)) handlers.mediaStatus(status);
    });
    this.#on('recording-status', (status: RecordingStatus) => {
      if (!RECORDING_STATES.includes(status?.state)) return;
      const { pending, refused } = status;
      handlers.recording({ ...status, pending: listOf(pending), refused: listOf(refused) });
    });
    this.#on('room-mode', (room: { mode: JoinAck['mode'] }) => {
      if (MODES.includes(room?.mode)) handlers.mode(room.mode);
    });
    this.#on('ice-servers', (servers: unknown) => {
      this.#iceServers(servers);
    });
  }

  #iceServers(servers: unknown): void {
    const list = Array.isArray(servers) ? servers : (servers as { iceServers?: RTCIceServer[] } | null | undefined)?.iceServers;
    if (Array.isArray(list)) this.#handlers.iceServers(list as RTCIceServer[]);
  }

  #on(event: string, listener: Listener): void {
    this.#listeners.push([event, listener]);
    this.socket.on(event, listener);
  }

  #connected(): void {
    const id = this.socket.id ?? '';
    if (this.socket.recovered && id === this.#selfId) {
      const kept = this.#kept;
      this.#kept = [];
      if (!this.#isIn) this.#join(id);
      for (const [event, payload] of kept) this.socket.emit(event, payload);
      this.#handlers.resumed();
      return;
    }
    this.#isIn = false;
    this.#kept = [];
    this.#selfId = id;
    this.#handlers.joining(id);
    this.#join(id);
  }

  #join(id: string): void {
    clearTimeout(this.#rejoinTimer);
    this.#rejoinTimer = undefined;
    const { interviewId, userRole } = this.#options;
    this.socket.emit('join-room', { interviewId, userRole, showsRecording: true }, (ack: JoinAck | undefined) => {
      if (this.#selfId !== id) return;
      if (ack?.ok === false) {
        this.#refused(ack);
        return;
      }
      this.#answers = ack?.mode !== undefined;
      this.#handlers.joined(ack ?? {});
    });
  }

  /** Told by the acknowledgement and by an event of its own; both may come. */
  #refused(error: ServerError | undefined): void {
    if (this.#rejoinTimer) return;
    const message = error?.message ?? 'the server refused to let you in';
    if (!this.#wasIn || !PASSING.includes(error?.code) || this.#rejoins >= REJOINS) {
      this.#handlers.refused(message);
      return;
    }
    this.#rejoins++;
    this.#handlers.interrupted(message);
    const id = this.#selfId;
    this.#rejoinTimer = setTimeout(() => {
      if (this.socket.connected && this.#selfId === id) this.#join(id);
      else this.#rejoinTimer = undefined;
    }, REJOIN_AFTER);
  }
}

function listOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? (value as string[]) : [];
}

function openSocket({ url, auth }: RoomLinkOptions): SignalingSocket {
  // The first attempt after a break comes soon; each one after it twice as late, up to 5 s.
  const options = { autoConnect: false, forceNew: true, reconnectionDelay: 400, ...(auth ? { auth } : {}) };
  return url ? io(url, options) : io(options);
}
