import { useEffect, useRef, useState, type FormEvent } from 'react';
import type { ChatMessage, UserRole } from '@skillsage/hook';
import { Icon } from '../../common/Icon';
import { ROLE_NAME } from './invitation';
import { PanelHead } from './PanelHead';

interface ChatPanelProps {
  messages: readonly ChatMessage[];
  onSend: (content: string) => boolean;
  onClose: () => void;
}

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

export function ChatPanel({ messages, onSend, onClose }: ChatPanelProps) {
  const [draft, setDraft] = useState('');
  const list = useRef<HTMLOListElement>(null);

  useEffect(() => {
    list.current?.scrollTo({ top: list.current.scrollHeight });
  }, [messages.length]);

  const send = (event: FormEvent) => {
    event.preventDefault();
    if (onSend(draft)) setDraft('');
  };

  return (
    <aside className="panel chat" aria-label="Chat">
      <PanelHead title="Chat" onClose={onClose} />
      {/* Focusable, since it scrolls; read out as messages come. */}
      <ol ref={list} className="messages" role="log" aria-label="Messages" tabIndex={0}>
        {messages.length === 0 && <li className="empty">Messages stay here until the interview ends.</li>}
        {messages.map((message) => (
          <li key={message.id} className={message.isOwn ? 'own' : ''}>
            <p className="message-meta">
              {message.isOwn ? 'You' : (ROLE_NAME[message.sender as UserRole] ?? message.sender ?? 'Guest')}
              <time dateTime={message.timestamp}>{formatTime(message.timestamp)}</time>
            </p>
            <p className="message-text">{message.content}</p>
          </li>
        ))}
      </ol>
      <form className="composer" onSubmit={send}>
        <input
          value={draft}
          onChange={(event) => setDraft(event.target.value)}
          aria-label="Message"
          placeholder="Write a message"
          autoComplete="off"
          maxLength={4000}
          autoFocus
        />
        <button type="submit" className="round accent" aria-label="Send" disabled={!draft.trim()}>
          <Icon name="send" />
        </button>
      </form>
    </aside>
  );
}

function formatTime(timestamp: string): string {
  const date = new Date(timestamp);
  return Number.isNaN(date.getTime()) ? '' : time.format(date);
}
