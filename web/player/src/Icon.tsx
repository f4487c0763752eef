const PATHS = {
  play: 'M8 5.2v13.6a.6.6 0 0 0 .9.5l10.6-6.8a.6.6 0 0 0 0-1L8.9 4.7a.6.6 0 0 0-.9.5Z',
  pause: 'M7.5 5h2.2v14H7.5ZM14.3 5h2.2v14h-2.2Z',
  back: 'M4.5 5v4.6h4.6M4.8 9.6A8 8 0 1 1 4.2 14',
  forward: 'M19.5 5v4.6h-4.6M19.2 9.6A8 8 0 1 0 19.8 14',
  sound: 'M4.5 9.5v5H8l4.5 3.8V5.7L8 9.5ZM15.8 9a4.2 4.2 0 0 1 0 6M18.3 6.5a7.8 7.8 0 0 1 0 11',
  muted: 'M4.5 9.5v5H8l4.5 3.8V5.7L8 9.5ZM16 9.5l5 5M21 9.5l-5 5',
  full: 'M4.5 9.5v-5h5M19.5 9.5v-5h-5M4.5 14.5v5h5M19.5 14.5v5h-5',
  large: 'M13.5 4.5h6v6M19.5 4.5l-6.5 6.5M10.5 19.5h-6v-6M4.5 19.5l6.5-6.5',
  small: 'M19.5 10.5h-6v-6M13.5 10.5l6.5-6.5M4.5 13.5h6v6M10.5 13.5 4 20',
  person: 'M12 4.5a3.6 3.6 0 1 1 0 7.2 3.6 3.6 0 0 1 0-7.2ZM4.8 19.5a7.2 7.2 0 0 1 14.4 0',
  screen: 'M4.5 5h15a1 1 0 0 1 1 1v9.5a1 1 0 0 1-1 1h-15a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1ZM8.5 20h7',
  chat: 'M5.5 5h13a2 2 0 0 1 2 2v7.5a2 2 0 0 1-2 2H11l-4.5 3.5v-3.5h-1a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2Z',
  code: 'M8.5 7.5 4 12l4.5 4.5M15.5 7.5 20 12l-4.5 4.5M13.3 5.5l-2.6 13',
  record: 'M12 6.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11Z',
  wave: 'M4 12h1.5l2-5 3 11 3-13 2.5 9 1.5-2H20',
  left: 'M14.5 6 8.5 12l6 6',
  right: 'm9.5 6 6 6-6 6',
  down: 'M12 4.5V15m0 0-4.2-4.2M12 15l4.2-4.2M5 19.5h14',
  keys: 'M4.5 6.5h15a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-15a1 1 0 0 1-1-1v-9a1 1 0 0 1 1-1ZM7 10h.1M10.3 10h.1M13.6 10h.1M17 10h.1M8.5 14h7',
  close: 'm6.5 6.5 11 11M17.5 6.5l-11 11',
  link: 'M10 14a3.8 3.8 0 0 0 5.4 0l3-3A3.8 3.8 0 0 0 13 5.6l-1 1M14 10a3.8 3.8 0 0 0-5.4 0l-3 3A3.8 3.8 0 0 0 11 18.4l1-1',
  bin: 'M5 7.5h14M10 4.5h4M7 7.5l.8 11a1 1 0 0 0 1 1h6.4a1 1 0 0 0 1-1l.8-11',
  check: 'm5 12.5 4.5 4.5L19 7.5',
  warning: 'M12 4.5 3.5 19h17ZM12 10.5v4M12 16.7v.1',
} as const;

export type IconName = keyof typeof PATHS;

/** A line drawing beside a text or a label; never the only name of a control. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
