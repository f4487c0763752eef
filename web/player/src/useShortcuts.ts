import { useEffect } from 'react';

/** Single keys, unless someone types, a dialog is open, or a modifier makes it another key. Sliders and buttons keep theirs. */
export function useShortcuts(actions: Record<string, () => void>): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target as HTMLElement;
      if (target.closest('input:not([type="range"]), textarea, select, [contenteditable], dialog')) return;
      const own = target.closest('input:not(.scrubber)') ? /^(Arrow|Page|Home|End)/ : target.closest('[role="tab"]') ? /^(Arrow|Home|End| |Enter)/ : target.closest('button, a, summary') ? /^( |Enter)$/ : null;
      if (own?.test(event.key)) return;
      const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    window.addEventListener('keydown', press);
    return () => window.removeEventListener('keydown', press);
  });
}
