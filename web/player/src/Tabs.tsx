import { useId, useState, type KeyboardEvent, type ReactNode } from 'react';

interface Tab {
  id: string;
  label: string;
  count: number;
  pane: ReactNode;
}

/** Panes of which one is shown, by the pattern of the ARIA authoring practices. */
export function Tabs({ tabs, first }: { tabs: Tab[]; first: string }) {
  const [chosen, setChosen] = useState(first);
  const base = useId();
  const press = (event: KeyboardEvent<HTMLElement>) => {
    const at = tabs.findIndex(({ id }) => id === chosen);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = tabs[(to + tabs.length) % tabs.length];
    if (!next) return;
    setChosen(next.id);
    document.getElementById(`${base}${next.id}`)?.focus();
  };
  const current = tabs.find(({ id }) => id === chosen) ?? tabs[0];
  return (
    <aside className="panel" aria-label="What was said and written">
      <div className="tabs" role="tablist" aria-label="Panes" onKeyDown={press}>
        {tabs.map(({ id, label, count }) => (
          <button
            key={id}
            id={`${base}${id}`}
            type="button"
            role="tab"
            className="tab"
            aria-selected={id === chosen}
            aria-controls={`${base}pane`}
            tabIndex={id === chosen ? 0 : -1}
            onClick={() => setChosen(id)}
          >
            {label}
            {count > 0 && <span className="tab-count">{count > 999 ? '999+' : count}</span>}
          </button>
        ))}
      </div>
      <div id={`${base}pane`} className="pane" role="tabpanel" aria-labelledby={`${base}${chosen}`}>
        {current?.pane}
      </div>
    </aside>
  );
}
