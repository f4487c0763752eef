import { useId, useRef, useState } from 'react';
import { LEVEL_WORD, type QualityView } from './quality';

const BARS = { good: 3, fair: 2, poor: 1, lost: 0 };

/**
 * A small sign of how a connection does: bars, and words as soon as it is bad. More is told on
 * hover, focus or a tap.
 */
export function Quality({ quality }: { quality: QualityView }) {
  const { level, whose, details } = quality;
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const [place, setPlace] = useState<{ left: number; bottom: number } | null>(null);
  const open = () => {
    const at = button.current?.getBoundingClientRect();
    if (!at) return;
    // Fixed, because a tile cuts off what sticks out of it.
    setPlace({ left: Math.max(8, Math.min(at.left - 10, innerWidth - 268)), bottom: innerHeight - at.top + 6 });
  };
  const close = () => setPlace(null);
  return (
    <>
      <button
        ref={button}
        type="button"
        className={`quality ${level}`}
        aria-label={`${whose}: ${LEVEL_WORD[level]}`}
        aria-describedby={id}
        onMouseEnter={open}
        onMouseLeave={close}
        onFocus={open}
        onBlur={close}
        onClick={open}
        onKeyDown={({ key }) => {
          if (key === 'Escape') close();
        }}
      >
        <svg viewBox="0 0 16 14" aria-hidden="true" focusable="false">
          {[0, 1, 2].map((bar) => (
            <rect key={bar} className={bar < BARS[level] ? 'lit' : undefined} x={1 + bar * 5} y={9 - bar * 4} width="3.4" height={4 + bar * 4} rx="1" />
          ))}
        </svg>
      </button>
      <span id={id} role="tooltip" className="quality-details" hidden={!place} style={place ?? undefined}>
        <span className="quality-title">
          {whose}: <strong className={level}>{LEVEL_WORD[level]}</strong>
        </span>
        {details.map(([name, value]) => (
          <span className="quality-row" key={name}>
            <span>{name} </span>
            <span>{value}</span>
          </span>
        ))}
      </span>
    </>
  );
}

const WORDS = { poor: 'Poor connection', lost: 'Connection interrupted' };

/** The plain words on a tile for what nobody should have to look for. */
export function QualityWord({ quality: { level } }: { quality: QualityView }) {
  if (level !== 'poor' && level !== 'lost') return null;
  return <span className="quality-word">{WORDS[level]}</span>;
}
