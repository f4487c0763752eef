/** The Socket.IO events of an interview room, as they stand on the wire. */

export type UserRole = 'recruiter' | 'candidate';

/** Members of the room by Socket.IO id, oneself included. */
export type Participants = Record<string, { userRole: UserRole }>;

export interface SignalMessage {
  from: string;
  signal: RTCSessionDescriptionInit | null;
  type: string;
  isScreenShare?: boolean;
}

export interface CandidateMessage {
  from: string;
  candidate: RTCIceCandidateInit | null;
  isScreenShare?: boolean;
}

export interface ChatMessage {
  id: number;
  content: string;
  timestamp: string;
  sender: string;
  isOwn?: boolean;
}

export interface CodeUpdate {
  questionId: string;
  code?: string | null;
  language?: string | null;
  currentQuestionIndex?: number | null;
  timestamp?: string;
}

export interface CodeState {
  codeUpdates: Record<string, Omit<CodeUpdate, 'questionId'>>;
  currentQuestionIndex?: number | null;
}

/** What a server may answer to `join-room`; older servers answer nothing. */
export interface JoinAck {
  ok?: boolean;
  mode?: 'relay' | 'p2p';
  code?: string;
  message?: string;
}

/** `error-message` and `join-error`: what a server says about something it refused. */
export interface ServerError {
  event?: string;
  code?: string;
  message?: string;
}

/** `media-unsupported`: the browsers of two people share no format for one kind of media. */
export interface UnsupportedMedia {
  userId: string;
  kind: 'audio' | 'video';
  isScreenShare: boolean;
  /** For developers. */
  reason: string;
}

/** How a connection does, from the best on; lost: it cannot be reached at present. */
export type QualityLevel = 'good' | 'fair' | 'poor' | 'lost';

/**
 * `connection-quality`: how the own connection with one person does, as a relay measures it. Up is
 * from here to the server; null is what is not known.
 */
export interface ConnectionQuality {
  userId: string;
  isScreenShare: boolean;
  quality: QualityLevel;
  /** The other person's own connection with the server. */
  peerQuality: QualityLevel | null;
  /** Round trip to the server, ms. */
  rtt: number | null;
  /** Packets lost on the way, 0 to 1; most of them are repaired. */
  lossUp: number | null;
  lossDown: number | null;
  /** bit/s */
  bitrateUp: number;
  bitrateDown: number;
  transport: 'udp' | 'tcp';
  /** The ICE candidate in use at this end: `host`, `srflx`, `prflx` or `relay`. */
  candidateType: string;
  /** What can be received at least, bit/s. */
  estimate: number | null;
}

/**
 * `media-status`: a relay gets no media of one of the two, or does again. `own` is the receiver's own
 * connection or media, else that person's.
 */
export interface MediaStatus {
  userId: string;
  isScreenShare: boolean;
  own: boolean;
  /** `no-connection`: there is no way, or none any more; `no-media`: nothing comes on it. */
  state: 'no-connection' | 'no-media' | 'ok';
  /** `ice`, `dtls` or `lost`; `never` or `stopped`; empty with `ok`. */
  reason: string;
}

/** A `MediaStatus` that is not ok. */
export interface MediaTrouble extends MediaStatus {
  state: 'no-connection' | 'no-media';
}

/**
 * `recording-status`: whether the interview is recorded. Servers that record tell it to everybody who
 * joins, and on every change.
 */
export interface RecordingStatus {
  /** `waiting`: for somebody's consent. */
  state: 'off' | 'waiting' | 'recording' | 'failed';
  /** `on-request`: a recruiter starts it; `always`: it starts by itself. A recruiter may stop it in both. */
  mode: 'on-request' | 'always';
  /** What members are asked: nothing, nothing but to take notice, or whether they agree. */
  consent: 'none' | 'notice' | 'required';
  /** Its id; empty before the first one. */
  recording: string;
  /** ISO 8601, while it runs. */
  since?: string;
  /** Who has not answered yet whether they agree. */
  pending: readonly string[];
  /** Who does not agree. */
  refused: readonly string[];
  /**
   * Why it is off or has failed: `requested`, `left`, `consent`, `limit`, `disk`, `error`, `shutdown`, or a later
   * server's word; empty otherwise.
   */
  reason: string;
}

/** What came of `startRecording`, `stopRecording` or `giveConsent`. */
export type RecordingAnswer =
  | { ok: true }
  /**
   * `code` is the server's word (`off`, `not-allowed`, `already`, `not-recording`, `disk`, `busy`, …), `offline` or `no-answer`;
   * `message` is for humans.
   */
  | { ok: false; code: string; message: string };

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- socket.io-client types its listeners so
export type Listener = (...args: any[]) => void;

/**
 * The part of a socket.io-client `Socket` that a call needs, so that an instance of any
 * socket.io-client 4 fits.
 */
export interface SignalingSocket {
  readonly id?: string | undefined;
  readonly connected: boolean;
  readonly recovered?: boolean;
  readonly active?: boolean;
  /** The manager, in so far as a dead connection is given up through it. */
  readonly io?: {
    readonly engine?: { close(): unknown } | undefined;
    readonly opts?: { transports?: unknown };
    once?(event: 'reconnect' | 'reconnect_error', listener: Listener): unknown;
  };
  on(event: string, listener: Listener): unknown;
  off(event: string, listener: Listener): unknown;
  emit(event: string, ...args: unknown[]): unknown;
  connect(): unknown;
  disconnect(): unknown;
}
