import type { UseWebRTC } from '@skillsage/hook';
import { ROLE_NAME } from './invitation';

export interface Person {
  id: string;
  /** "Candidate", "Recruiter", and numbers where there are several. */
  name: string;
  state: RTCPeerConnectionState;
  camera: MediaStream | null;
  screen: MediaStream | null;
}

/**
 * Those who take part in the call. A room has silent sockets too (chat, code), which never answer
 * a call and are nobody here.
 */
export function peopleInCall(
  states: UseWebRTC['peerStates'],
  participants: UseWebRTC['participants'],
  streams: UseWebRTC['remoteStreams'],
): Person[] {
  const ids = Object.keys(states);
  const roleOf = (id: string) => participants[id]?.userRole ?? 'recruiter';
  return ids.map((id) => {
    const same = ids.filter((other) => roleOf(other) === roleOf(id));
    const number = same.length > 1 ? ` ${same.indexOf(id) + 1}` : '';
    return {
      id,
      name: `${ROLE_NAME[roleOf(id)]}${number}`,
      state: states[id] ?? 'new',
      camera: streams[id] ?? null,
      screen: streams[`${id}-screen`] ?? null,
    };
  });
}
