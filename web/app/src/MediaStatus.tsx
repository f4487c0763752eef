import type { UseWebRTC } from '@skillsage/hook';
import { Icon } from '../../common/Icon';
import type { Person } from './people';

type Trouble = UseWebRTC['mediaTroubles'][number];

function explain({ own, isScreenShare, state, reason }: Trouble, name: string): string {
  if (state === 'no-media') {
    if (isScreenShare) return own ? 'Nothing arrives of your screen. Stop sharing and share it again.' : `Nothing arrives of ${name}’s screen.`;
    if (own) return 'Nothing arrives from your camera and microphone. Choose them again in the settings, or reload the page.';
    return `Nothing arrives from ${name}’s camera and microphone.`;
  }
  const what = isScreenShare ? 'the shared screen' : 'picture and sound';
  if (reason === 'lost') return `${own ? 'Your' : `${name}’s`} connection for ${what} is interrupted. It is being brought back.`;
  if (own) return `Your network does not let ${what} through. Another network helps, such as that of a phone.`;
  return `${name}’s network does not let ${what} through.`;
}

/** Why picture and sound do not come, or are not seen by others, in plain words. */
export function MediaStatus({ troubles, people }: { troubles: readonly Trouble[]; people: Person[] }) {
  const nameOf = (id: string) => people.find((person) => person.id === id)?.name ?? 'The other side';
  // Of one's own network there is a trouble with each of the others, and one is enough to say.
  const sentences = new Set(troubles.map((trouble) => explain(trouble, nameOf(trouble.userId))));
  return [...sentences].map((sentence) => (
    <p className="banner warn media-status" role="alert" key={sentence}>
      <Icon name="warning" />
      <span>{sentence}</span>
    </p>
  ));
}
