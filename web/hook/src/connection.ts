import type { MediaTrouble } from './protocol.js';

export type ConnectionState =
  /** Not started, or closed. */
  | 'idle'
  | 'connecting'
  /** In the room, and media go to and from everybody who takes part. */
  | 'connected'
  /** Something broke and is being brought back. */
  | 'reconnecting'
  /** Nothing more is tried, or there is no way through the network. */
  | 'failed';

export type ConnectionReason =
  /** The server does not let this client in, or ended the session. */
  | 'refused'
  | 'ended'
  /** The server is out of reach for the moment; media may go on. */
  | 'server'
  /** Media find no way: most likely the network does not let them through. */
  | 'ice'
  /** They do, but no secure connection comes of it. */
  | 'dtls'
  /** Media had a way and lost it. */
  | 'lost';

/** How the whole of a call is connected, in one word, and why it is not. */
export interface CallConnection {
  state: ConnectionState;
  reason: ConnectionReason | null;
}

/** What `connectionOf` looks at. */
export interface ConnectionParts {
  phase: 'idle' | 'connecting' | 'online' | 'reconnecting' | 'refused' | 'ended';
  peerStates: Record<string, RTCPeerConnectionState>;
  mediaTroubles: readonly MediaTrouble[];
}

/** `lost`: a connection that was up is not. */
export function connectionOf({ phase, peerStates, mediaTroubles }: ConnectionParts, lost: boolean): CallConnection {
  switch (phase) {
    case 'idle':
    case 'connecting':
      return { state: phase, reason: null };
    case 'reconnecting':
      return { state: 'reconnecting', reason: 'server' };
    case 'refused':
    case 'ended':
      return { state: 'failed', reason: phase };
  }
  const states = Object.values(peerStates);
  const told = mediaTroubles.find(({ own, state, isScreenShare }) => own && !isScreenShare && state === 'no-connection')?.reason;
  if (lost || told === 'lost') return { state: 'reconnecting', reason: 'lost' };
  if (!states.includes('connected')) {
    if (told === 'ice' || told === 'dtls') return { state: 'failed', reason: told };
    if (states.includes('failed')) return { state: 'failed', reason: 'ice' };
  }
  return { state: states.every((state) => state === 'connected') ? 'connected' : 'connecting', reason: null };
}
