import { useState } from 'react';

interface Volume {
  /** 0 to 1. */
  level: number;
  muted: boolean;
}

export interface Volumes {
  all: Volume;
  of: (person: string) => Volume;
  set: (person: string, change: Partial<Volume>) => void;
  setAll: (change: Partial<Volume>) => void;
  toggle: () => void;
  /** What is heard of somebody in the end. */
  heard: (person: string) => number;
}

const FULL: Volume = { level: 1, muted: false };

/** How loud everybody is, and all together. */
export function useVolumes(): Volumes {
  const [all, setAllVolume] = useState(FULL);
  const [people, setPeople] = useState<Record<string, Volume>>({});
  const of = (person: string) => people[person] ?? FULL;
  const heard = (volume: Volume) => (volume.muted ? 0 : volume.level);
  return {
    all,
    of,
    set: (person, change) => setPeople((before) => ({ ...before, [person]: { ...(before[person] ?? FULL), ...change } })),
    setAll: (change) => setAllVolume((before) => ({ ...before, ...change })),
    toggle: () => setAllVolume((before) => ({ ...before, muted: !before.muted })),
    heard: (person) => heard(all) * heard(of(person)),
  };
}
