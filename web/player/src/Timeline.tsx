import { memo, useEffect, useRef, useState, type PointerEvent } from 'react';
import type { Player } from './player';
import { endOf, type Story } from './story';
import { clock, spoken } from './time';

const MANY = 6; // people whose lanes take no more than their share of the page

/** The whole interview from left to right: who was there, what was shared, what happened, and where we are. */
export function Timeline({ story, player, time }: { story: Story; player: Player; time: number }) {
  const { duration } = story;
  const box = useRef<HTMLDivElement>(null);
  const [hover, setHover] = useState<number | null>(null);

  // The head moves with each picture; React need not know.
  useEffect(() => {
    let frame = 0;
    const draw = () => {
      box.current?.style.setProperty('--at', String(duration > 0 ? player.now() / duration : 0));
      frame = requestAnimationFrame(draw);
    };
    draw();
    return () => cancelAnimationFrame(frame);
  }, [player, duration]);

  const timeOf = (event: PointerEvent<HTMLElement>) => {
    const track = event.currentTarget.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - track.left) / track.width, 0), 1) * duration;
  };

  return (
    <div className={story.people.length > MANY ? 'timeline many' : 'timeline'} ref={box}>
      <div className="names" aria-hidden="true">
        <span className="name-scrubber" />
        {story.people.map(({ key, name }) => (
          <span key={key} className="name">
            {name}
          </span>
        ))}
        <span className="name marks-name">Events</span>
      </div>
      <div
        className="tracks"
        onPointerMove={(event) => setHover(timeOf(event))}
        onPointerLeave={() => setHover(null)}
        onPointerDown={(event) => {
          if (!(event.target as HTMLElement).closest('input, button')) player.seek(timeOf(event));
        }}
      >
        <input
          type="range"
          className="scrubber"
          min={0}
          max={duration}
          step={0.1}
          value={time}
          disabled={duration === 0}
          aria-label="Position"
          aria-valuetext={`${spoken(time)} of ${spoken(duration)}`}
          onChange={(event) => player.seek(Number(event.target.value))}
        />
        <Lanes story={story} />
        <span className="head" aria-hidden="true" />
        {hover !== null && (
          <span className="hover" aria-hidden="true" style={{ left: percent(hover, duration) }}>
            <span className="hover-time">{clock(hover, duration)}</span>
          </span>
        )}
      </div>
    </div>
  );
}

/** How far from the left a moment is. */
const percent = (at: number, duration: number) => `${duration > 0 ? (Math.min(Math.max(at, 0), duration) / duration) * 100 : 0}%`;

/** What does not move: a lane for each person, and the marks of all events. */
const Lanes = memo(function Lanes({ story }: { story: Story }) {
  const { duration } = story;
  const span = (from: number, to: number) => ({ left: percent(from, duration), width: `calc(${percent(to, duration)} - ${percent(from, duration)})` });
  return (
    <>
      {story.people.map((person) => (
        <div key={person.key} className="lane" aria-hidden="true">
          {person.spans.map(({ from, to }) => (
            <span key={from} className="presence" style={span(from, to)} />
          ))}
          {(['camera', 'screen'] as const).map((kind) =>
            person.files
              .filter((file) => file.kind === kind)
              .map((file) => (
                <span
                  key={file.name}
                  className={kind === 'screen' ? 'footage shared' : 'footage'}
                  style={span(file.start, endOf(file))}
                  title={`${person.name}’s ${kind}`}
                />
              )),
          )}
        </div>
      ))}
      <div className="marks" aria-hidden="true">
        {story.log.map((entry, index) =>
          entry.to > entry.from ? (
            <span key={index} className={`stretch of-${entry.kind}`} style={span(entry.from, entry.to)} title={entry.text} />
          ) : (
            <span
              key={index}
              className={`mark of-${entry.kind}`}
              style={{ left: percent(entry.from, duration) }}
              title={`${clock(entry.from, duration)} ${entry.text}`}
            />
          ),
        )}
      </div>
    </>
  );
});
