import type { RecordingStatus, UseWebRTC } from '@skillsage/hook';
import type { Person } from './people';

export type Recording = RecordingStatus;
export type RecordingCall = Pick<UseWebRTC, 'recording' | 'selfId' | 'startRecording' | 'stopRecording' | 'giveConsent'>;

/** Some of the people, oneself first, as a sentence names them. */
export function namesOf(ids: readonly string[], selfId: string | null, people: Person[]): string {
  const others = people.filter(({ id }) => ids.includes(id)).map(({ name }) => `the ${name.toLowerCase()}`);
  const unknown = ids.some((id) => id !== selfId && !people.some((person) => person.id === id)) ? ['somebody'] : [];
  const names = [...(selfId !== null && ids.includes(selfId) ? ['you'] : []), ...others, ...unknown];
  const last = names.pop() ?? 'somebody';
  return names.length > 0 ? `${names.join(', ')} and ${last}` : last;
}

/** Why there is no recording, or none any more, in plain words; null where nothing need be said. */
export function whyNot({ state, reason, refused }: Recording, ran: boolean, selfId: string | null, people: Person[]): string | null {
  switch (reason) {
    case 'consent':
      return `${ran ? 'The recording has ended' : 'Nothing is recorded'}, because ${namesOf(refused, selfId, people)} did not agree.`;
    case 'disk':
      return ran ? 'The recording has stopped: the server’s disk is full. What was recorded is kept.' : 'Nothing is recorded: the server’s disk is full.';
    case 'limit':
      return 'The recording has ended: it is as long as a recording may be.';
    case 'shutdown':
      return 'The recording has ended: the server is about to stop. What was recorded is kept.';
    default:
      return state === 'failed' ? 'The recording has failed. The call goes on, but nothing is recorded.' : null;
  }
}
