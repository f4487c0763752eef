import { memo } from 'react';
import { Icon, type IconName } from '../../common/Icon';
import { FollowButton } from './Messages';
import type { Entry } from './story';
import { clock } from './time';
import { useFollow } from './useFollow';

const ICONS: Record<Entry['kind'], IconName> = {
  people: 'person',
  screen: 'monitor',
  chat: 'chat',
  code: 'code',
  recording: 'dot',
  media: 'wave',
};

interface LogProps {
  log: Entry[];
  /** The last entry of the moment, or -1. */
  now: number;
  duration: number;
  onSeek: (time: number) => void;
}

/** Everything that happened, in order; each entry goes to its moment. */
export const Log = memo(function Log({ log, now, duration, onSeek }: LogProps) {
  const { list, follows, follow } = useFollow<HTMLOListElement>(now);
  if (log.length === 0) return <p className="pane-empty">Nothing happened.</p>;
  return (
    <>
      <ol ref={list} className="log" aria-label="Events">
        {log.map(({ from, kind, text }, index) => (
          <li key={index}>
            <button
              type="button"
              className={index > now ? 'entry ahead' : 'entry'}
              aria-current={index === now ? 'true' : undefined}
              onClick={() => onSeek(from)}
            >
              <span className="at">{clock(from, duration)}</span>
              <Icon name={ICONS[kind]} />
              <span className="entry-text">{text}</span>
            </button>
          </li>
        ))}
      </ol>
      {!follows && <FollowButton onClick={follow} />}
    </>
  );
});
