import { io } from 'socket.io-client';
import type {
  CandidateMessage,
  ConnectionQuality,
  JoinAck,
  Listener,
  Participants,
  ServerError,
  SignalingSocket,
  SignalMessage,
  UnsupportedMedia,
  UserRole,
} from './protocol.js';

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
  iceServers: (servers: RTCIceServer[]) => void;
}

/** Words that a later server may add are not understood. */
const LEVELS: readonly unknown[] = ['good', 'fair', 'poor', 'lost'];

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
  #kept: [string, unknown][] = [];

  constructor(options: RoomLinkOptions, handlers: RoomLinkHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#owned = !options.socket;
    this.socket = options.socket ?? openSocket(options);
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

  close(): void {
    for (const [event, listener] of this.#listeners) this.socket.off(event, listener);
    this.#listeners.length = 0;
    this.#kept = [];
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
      handlers.refused(error?.message ?? 'the server refused to let you in');
    });
    this.#on('error-message', (error: ServerError) => {
      handlers.troubled(error?.message ?? 'the server refused a message');
    });
    this.#on('room-users', (users: Participants) => {
      if (users && typeof users === 'object') handlers.roomUsers(users);
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
    this.#on('ice-servers', (servers: { iceServers?: RTCIceServer[] } | RTCIceServer[]) => {
      const list = Array.isArray(servers) ? servers : servers?.iceServers;
      if (Array.isArray(list)) handlers.iceServers(list);
    });
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
      for (const [event, payload] of kept) this.socket.emit(event, payload);
      this.#handlers.resumed();
      return;
    }
    this.#kept = [];
    this.#selfId = id;
    this.#handlers.joining(id);
    const { interviewId, userRole } = this.#options;
    this.socket.emit('join-room', { interviewId, userRole }, (ack: JoinAck | undefined) => {
      if (this.#selfId !== id) return;
      if (ack?.ok === false) this.#handlers.refused(ack.message ?? 'the server refused to let you in');
      else this.#handlers.joined(ack ?? {});
    });
  }
}

function openSocket({ url, auth }: RoomLinkOptions): SignalingSocket {
  const options = { autoConnect: false, forceNew: true, ...(auth ? { auth } : {}) };
  return url ? io(url, options) : io(options);
}
