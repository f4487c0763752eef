import { memo } from 'react';
import type { Message } from './story';
import { clock } from './time';
import { useFollow } from './useFollow';

interface MessagesProps {
  messages: Message[];
  /** The last one of the moment, or -1. */
  now: number;
  duration: number;
  onSeek: (time: number) => void;
}

/** The chat. It follows the time line; a message goes to its moment. */
export const Messages = memo(function Messages({ messages, now, duration, onSeek }: MessagesProps) {
  const { list, follows, follow } = useFollow<HTMLOListElement>(now);
  if (messages.length === 0) return <p className="pane-empty">Nobody wrote in the chat.</p>;
  return (
    <>
      <ol ref={list} className="messages" aria-label="Chat messages">
        {messages.map(({ at, who, text }, index) => (
          <li key={index}>
            <button
              type="button"
              className={index > now ? 'message ahead' : 'message'}
              aria-current={index === now ? 'true' : undefined}
              onClick={() => onSeek(at)}
            >
              <span className="message-meta">
                {who} <span className="at">{clock(at, duration)}</span>
              </span>
              <span className="message-text">{text}</span>
            </button>
          </li>
        ))}
      </ol>
      {!follows && <FollowButton onClick={follow} />}
    </>
  );
});

export function FollowButton({ onClick }: { onClick: () => void }) {
  return (
    <button type="button" className="button small follow" onClick={onClick}>
      Follow the recording
    </button>
  );
}
