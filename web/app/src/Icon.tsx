const PATHS = {
  mic: 'M12 3.5a2.8 2.8 0 0 0-2.8 2.8v5.2a2.8 2.8 0 0 0 5.6 0V6.3A2.8 2.8 0 0 0 12 3.5ZM6 11.2a6 6 0 0 0 12 0M12 17.2v3.3',
  camera: 'M5.5 6.5h7a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-7a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2ZM14.5 10.8l5.2-3.2v8.8l-5.2-3.2',
  screen: 'M4.5 5h15a1 1 0 0 1 1 1v9.5a1 1 0 0 1-1 1h-15a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1ZM8.5 20h7M12 13.5v-5m0 0-2.2 2.2M12 8.5l2.2 2.2',
  chat: 'M5.5 5h13a2 2 0 0 1 2 2v7.5a2 2 0 0 1-2 2H11l-4.5 3.5v-3.5h-1a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2Z',
  code: 'M8.5 7.5 4 12l4.5 4.5M15.5 7.5 20 12l-4.5 4.5M13.3 5.5l-2.6 13',
  settings: 'M4 7.5h9M18.5 7.5H20M4 16.5h1.5M11 16.5h9M15.7 5.3a2.2 2.2 0 1 1 0 4.4 2.2 2.2 0 0 1 0-4.4ZM8.3 14.3a2.2 2.2 0 1 1 0 4.4 2.2 2.2 0 0 1 0-4.4Z',
  leave: 'M3.6 13.2c4.7-4.7 12.1-4.7 16.8 0l.3 2.3a.9.9 0 0 1-.7 1l-3 .6a.9.9 0 0 1-1-.6l-.7-2.2a11 11 0 0 0-6.6 0L8 16.5a.9.9 0 0 1-1 .6l-3-.6a.9.9 0 0 1-.7-1Z',
  person: 'M12 4.5a3.6 3.6 0 1 1 0 7.2 3.6 3.6 0 0 1 0-7.2ZM4.8 19.5a7.2 7.2 0 0 1 14.4 0',
  copy: 'M9.5 8.5h9a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1v-9a1 1 0 0 1 1-1ZM15.5 8.5v-3a1 1 0 0 0-1-1h-9a1 1 0 0 0-1 1v9a1 1 0 0 0 1 1h3',
  check: 'm5 12.5 4.5 4.5L19 7.5',
  close: 'm6.5 6.5 11 11M17.5 6.5l-11 11',
  send: 'M4.5 12 19.5 4.5 15.5 19.5 11.5 13ZM11.5 13l8-8.5',
  sound: 'M4.5 9.5v5H8l4.5 3.8V5.7L8 9.5ZM15.8 9a4.2 4.2 0 0 1 0 6M18.3 6.5a7.8 7.8 0 0 1 0 11',
  full: 'M4.5 9.5v-5h5M19.5 9.5v-5h-5M4.5 14.5v5h5M19.5 14.5v5h-5',
  invite: 'M10.5 5a3.3 3.3 0 1 1 0 6.6 3.3 3.3 0 0 1 0-6.6ZM4 19a6.5 6.5 0 0 1 11.6-4M18.5 14.5v5M16 17h5',
  record: 'M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16ZM12 8.6a3.4 3.4 0 1 1 0 6.8 3.4 3.4 0 0 1 0-6.8Z',
  stop: 'M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16ZM9.4 9.4h5.2v5.2H9.4Z',
  warning: 'M12 4.5 3.5 19h17ZM12 10.5v4M12 16.7v.1',
} as const;

export type IconName = keyof typeof PATHS;

/** A line drawing beside a text or a label; never the only name of a control. */
export function Icon({ name, off = false }: { name: IconName; off?: boolean }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
      {off && (
        <>
          <path className="icon-gap" d="m5.5 3 15 15.5" />
          <path d="m4 4.5 16 15.5" />
        </>
      )}
    </svg>
  );
}
