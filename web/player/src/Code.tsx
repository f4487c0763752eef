import { useMemo, useState } from 'react';
import { Icon } from '../../common/Icon';
import { indexAt, type CodeState, type Story } from './story';
import { clock } from './time';

const NAMES = new Map([
  ['javascript', 'JavaScript'],
  ['typescript', 'TypeScript'],
  ['cpp', 'C++'],
  ['csharp', 'C#'],
  ['php', 'PHP'],
  ['sql', 'SQL'],
  ['plaintext', 'Plain text'],
]);

const languageName = (id: string) => NAMES.get(id) ?? id.slice(0, 1).toUpperCase() + id.slice(1);

/** The shared code as it was at this moment. */
export function Code({ story, time, onSeek }: { story: Story; time: number; onSeek: (time: number) => void }) {
  const [chosen, setChosen] = useState<string | null>(null);
  const { questions, open, duration } = story;
  const openNow = open[indexAt(open, time)]?.key ?? open[0]?.key;
  const question = questions.find(({ key }) => key === (chosen ?? openNow)) ?? questions[0];
  if (!question) return <p className="pane-empty">Nobody wrote code.</p>;
  const { states } = question;
  const now = indexAt(states, time);
  const state = states[now];
  const jump = (to: CodeState | undefined) => to && onSeek(to.at);
  return (
    <div className="code-pane">
      <div className="code-head">
        <div className="questions" role="group" aria-label="Question">
          {questions.map(({ key, number }) => (
            <button
              key={key}
              type="button"
              className="question"
              aria-pressed={key === question.key}
              aria-label={`Question ${number}${key === openNow ? ', open at this moment' : ''}`}
              onClick={() => setChosen(key === openNow ? null : key)}
            >
              {number}
            </button>
          ))}
        </div>
        {state?.language && <span className="language-name">{languageName(state.language)}</span>}
      </div>
      <div className="code-body" role="region" aria-label={`Code of question ${question.number}`} tabIndex={0}>
        {state ? (
          <Lines states={states} now={now} onSeek={onSeek} />
        ) : (
          <p className="pane-empty">Nothing was written yet at this moment.</p>
        )}
      </div>
      <div className="code-foot">
        <button type="button" className="round small" aria-label="Change before" disabled={now < 0 || (now === 0 && time - (states[0]?.at ?? 0) < 0.2)} onClick={() => jump(states[time - (state?.at ?? 0) < 0.2 ? now - 1 : now])}>
          <Icon name="left" />
        </button>
        <span className="code-count">
          {now < 0 ? `First change at ${clock(states[0]?.at ?? 0, duration)}` : `Change ${now + 1} of ${states.length}, ${clock(state?.at ?? 0, duration)}`}
        </span>
        <button type="button" className="round small" aria-label="Next change" disabled={now >= states.length - 1} onClick={() => jump(states[now + 1])}>
          <Icon name="right" />
        </button>
      </div>
    </div>
  );
}

/** The code of one state; a line goes to the moment when it was written. */
function Lines({ states, now, onSeek }: { states: CodeState[]; now: number; onSeek: (time: number) => void }) {
  const code = states[now]?.code ?? '';
  const before = states[now - 1]?.code ?? '';
  return useMemo(() => {
    const changed = changedLines(before, code);
    return (
      <ol>
        {code.split('\n').map((line, index) => (
          <li
            key={index}
            className={index >= changed.from && index < changed.to ? 'changed' : undefined}
            title={line.trim() ? 'To the moment when this line was written' : undefined}
            onClick={() => onSeek(firstWith(states, now, line))}
          >
            <code>{line || ' '}</code>
          </li>
        ))}
      </ol>
    );
  }, [code, before, states, now, onSeek]);
}

/** The lines in which two versions differ, of the later one. */
function changedLines(before: string, after: string): { from: number; to: number } {
  const [a, b] = [before.split('\n'), after.split('\n')];
  let from = 0;
  while (from < Math.min(a.length, b.length) && a[from] === b[from]) from++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - from && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return { from, to: b.length - end };
}

/** When a line that is there now was written: since then it has been there all the time. */
function firstWith(states: CodeState[], now: number, line: string): number {
  let first = now;
  while (first > 0 && states[first - 1]?.code.split('\n').includes(line)) first--;
  return states[first]?.at ?? 0;
}
