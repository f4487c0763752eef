import type { UseSharedRoom } from '@skillsage/hook';
import { CodeEditor } from './CodeEditor';
import { PanelHead } from './PanelHead';

const LANGUAGES: [string, string][] = [
  ['javascript', 'JavaScript'],
  ['typescript', 'TypeScript'],
  ['python', 'Python'],
  ['java', 'Java'],
  ['cpp', 'C++'],
  ['csharp', 'C#'],
  ['go', 'Go'],
  ['rust', 'Rust'],
  ['ruby', 'Ruby'],
  ['php', 'PHP'],
  ['sql', 'SQL'],
  ['plaintext', 'Plain text'],
];

/** Questions that fit into the row of tabs. */
const MAX_QUESTIONS = 9;

/** The code that everyone in the interview sees and writes. */
export function CodePane({ room, onClose }: { room: UseSharedRoom; onClose: () => void }) {
  const { pads, questionIndex, setCode, setLanguage, setQuestion } = room;
  const pad = pads[questionIndex];
  if (!pad) return null;
  const known = LANGUAGES.some(([id]) => id === pad.language);
  return (
    <aside className="panel code" aria-label="Shared code">
      <PanelHead title="Code" onClose={onClose}>
        <label className="language">
          <span className="visually-hidden">Language</span>
          <select value={pad.language} onChange={(event) => setLanguage(event.target.value)}>
            {!known && <option value={pad.language}>{pad.language}</option>}
            {LANGUAGES.map(([id, name]) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        </label>
      </PanelHead>
      <div className="questions" role="group" aria-label="Question">
        {pads.map((item, index) => (
          <button
            key={item.questionId}
            type="button"
            className="question"
            aria-pressed={index === questionIndex}
            onClick={() => setQuestion(index)}
          >
            <span className="visually-hidden">Question </span>
            {index + 1}
          </button>
        ))}
        {pads.length < MAX_QUESTIONS && (
          <button type="button" className="question" aria-label="New question" onClick={() => setQuestion(pads.length)}>
            +
          </button>
        )}
      </div>
      <CodeEditor key={questionIndex} code={pad.code} onChange={setCode} />
    </aside>
  );
}
