import { useEffect, useRef } from 'react';

const TEXT = {
  left: { title: 'You left the interview', text: 'Camera and microphone are off.' },
  ended: { title: 'The call has ended', text: 'The server closed the session.' },
  refused: { title: 'You can’t join this interview', text: 'The server refused to let you in.' },
};

interface FarewellProps {
  reason: keyof typeof TEXT;
  message?: string | null;
  onRejoin: () => void;
  onBack: () => void;
}

/** After a call, whoever ended it. */
export function Farewell({ reason, message, onRejoin, onBack }: FarewellProps) {
  const { title, text } = TEXT[reason];
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  return (
    <main className="farewell">
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      <p>{message ?? text}</p>
      <div className="row">
        <button type="button" className="button primary" onClick={onRejoin}>
          {reason === 'refused' ? 'Try again' : 'Rejoin'}
        </button>
        <button type="button" className="button" onClick={onBack}>
          Back to the start
        </button>
      </div>
    </main>
  );
}
