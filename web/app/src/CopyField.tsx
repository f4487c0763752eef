import { useEffect, useId, useRef, useState } from 'react';
import { Icon } from '../../common/Icon';

/** A text to pass on. */
export function CopyField({ label, value }: { label: string; value: string }) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const [copied, setCopied] = useState(false);

  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), 2500);
    return () => clearTimeout(timer);
  }, [copied]);

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      setCopied(true);
    } catch {
      // Without the clipboard, the text is at least ready for Ctrl+C.
      input.current?.select();
    }
  };

  return (
    <div className="field copy-field">
      <label htmlFor={id}>{label}</label>
      <div className="row tight">
        <input ref={input} id={id} value={value} readOnly onFocus={(event) => event.target.select()} />
        <button type="button" className="button" onClick={() => void copy()}>
          <Icon name={copied ? 'check' : 'copy'} />
          <span aria-live="polite">{copied ? 'Copied' : 'Copy'}</span>
          <span className="visually-hidden"> {label}</span>
        </button>
      </div>
    </div>
  );
}
