import type { UseWebRTC } from '@skillsage/hook';
import { Icon } from '../../common/Icon';
import type { Person } from './people';

type Noted = UseWebRTC['unsupported'][number];

function explain({ kind, isScreenShare }: Noted, name: string): string {
  const format = kind === 'video' ? 'video' : 'sound';
  const lack = `your browsers have no ${format} format in common. A current browser on both sides helps.`;
  if (isScreenShare) return `Shared screens cannot go between you and ${name}: ${lack}`;
  return `You and ${name} cannot ${kind === 'video' ? 'see' : 'hear'} each other: ${lack}`;
}

/** Why somebody stays without picture or sound although all is connected. */
export function Unsupported({ noted, people }: { noted: readonly Noted[]; people: Person[] }) {
  return noted.map((media) => (
    <p className="banner warn" role="alert" key={`${media.userId} ${media.kind} ${media.isScreenShare}`}>
      <Icon name="warning" />
      <span>{explain(media, people.find(({ id }) => id === media.userId)?.name ?? 'the other side')}</span>
    </p>
  ));
}
