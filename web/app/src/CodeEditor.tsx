import { useLayoutEffect, useRef, useState, type ChangeEvent, type KeyboardEvent } from 'react';
import { moveCaret } from '@skillsage/hook';

const INDENT = '  ';

/**
 * A plain text area that is good enough for code: line numbers, indentation, and a caret that
 * stays at its word while others write. Tab indents; after Escape it leaves the field, as usual.
 */
export function CodeEditor({ code, onChange }: { code: string; onChange: (code: string) => void }) {
  const field = useRef<HTMLTextAreaElement>(null);
  const numbers = useRef<HTMLPreElement>(null);
  const shown = useRef(code);
  const [tabLeaves, setTabLeaves] = useState(false);

  useLayoutEffect(() => {
    const element = field.current;
    if (!element || shown.current === code) return;
    const { selectionStart, selectionEnd } = element;
    const start = moveCaret(shown.current, code, selectionStart);
    const end = moveCaret(shown.current, code, selectionEnd);
    shown.current = code;
    element.value = code;
    if (document.activeElement === element) element.setSelectionRange(start, end);
  }, [code]);

  const change = (event: ChangeEvent<HTMLTextAreaElement>) => {
    shown.current = event.target.value;
    onChange(event.target.value);
  };

  const key = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    const { selectionStart, value } = event.currentTarget;
    if (event.key === 'Escape') {
      setTabLeaves(true);
      return;
    }
    if (event.key === 'Tab' && !tabLeaves && !event.shiftKey) {
      event.preventDefault();
      insert(INDENT);
    }
    if (event.key === 'Enter' && !event.nativeEvent.isComposing) {
      event.preventDefault();
      const line = value.slice(value.lastIndexOf('\n', selectionStart - 1) + 1, selectionStart);
      const deeper = /[{([:]\s*$/.test(line) ? INDENT : '';
      insert(`\n${/^\s*/.exec(line)?.[0] ?? ''}${deeper}`);
    }
    if (event.key !== 'Shift') setTabLeaves(false);
  };

  const lines = code.split('\n').length;
  return (
    <div className="editor">
      <div className="editor-body">
        <pre ref={numbers} className="line-numbers" aria-hidden="true">
          {Array.from({ length: lines }, (_, index) => index + 1).join('\n')}
        </pre>
        <textarea
          ref={field}
          defaultValue={code}
          onChange={change}
          onKeyDown={key}
          onBlur={() => setTabLeaves(false)}
          onScroll={(event) => {
            if (numbers.current) numbers.current.scrollTop = event.currentTarget.scrollTop;
          }}
          aria-label="Code"
          aria-describedby="editor-hint"
          placeholder="Everyone in the interview sees what you type here."
          wrap="off"
          spellCheck={false}
          autoCapitalize="none"
          autoComplete="off"
        />
      </div>
      <p className="editor-hint" id="editor-hint">
        {tabLeaves ? (
          <>
            <kbd>Tab</kbd> now leaves the editor
          </>
        ) : (
          <>
            <kbd>Tab</kbd> indents, <kbd>Esc</kbd> then <kbd>Tab</kbd> leaves the editor
          </>
        )}
      </p>
    </div>
  );
}

/** Types a text as the user would, so that undo knows of it. */
function insert(text: string): void {
  // Deprecated, and still the only way into the undo history of a text area.
  document.execCommand('insertText', false, text);
}
