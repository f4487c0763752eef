import type { Manifest, MediaFile, Participant, RecordedEvent } from './manifest';

// What a manifest tells, put in order for showing. All of it is pure.

/** One person: a socket, and those that took its place when the page was loaded anew. */
export interface Person {
  key: string;
  name: string;
  role: string;
  spans: Span[];
  files: MediaFile[];
}

export interface Span {
  from: number;
  to: number;
}

/** What is shown as one picture: a person's camera, or their screen. */
export interface Tile {
  key: string;
  kind: 'camera' | 'screen';
  person: Person;
  label: string;
  files: MediaFile[];
}

export interface Message {
  at: number;
  who: string;
  text: string;
}

/** The code of a question from a moment on. */
export interface CodeState {
  at: number;
  code: string;
  language: string;
}

export interface Question {
  key: string;
  number: number;
  states: CodeState[];
}

export interface Entry extends Span {
  kind: 'people' | 'screen' | 'chat' | 'code' | 'recording' | 'media';
  text: string;
}

export interface Story {
  duration: number;
  people: Person[];
  tiles: Tile[];
  messages: Message[];
  questions: Question[];
  /** Which question was open, from a moment on. */
  open: { at: number; key: string }[];
  log: Entry[];
}

const ROLES = new Map([
  ['recruiter', 'Recruiter'],
  ['candidate', 'Candidate'],
]);

/** How long a page may be away to be taken for the same person, and how long its old socket may linger. */
const AWAY = 30;
const LINGER = 6;

/** Changes of code that follow each other within this time are one entry of the log. */
const BURST = 10;

export const endOf = ({ start, duration }: MediaFile): number => start + duration;

export function storyOf(manifest: Manifest): Story {
  const last = Math.max(
    manifest.duration,
    ...manifest.files.map(endOf),
    ...(manifest.state === 'recording' ? manifest.events.map(({ at }) => at) : []),
  );
  const duration = Number.isFinite(last) ? Math.max(last, 0) : 0;
  const events = [...manifest.events].sort((a, b) => a.at - b.at);
  const people = peopleOf(manifest, duration);
  const byId = new Map(people.flatMap(({ person, ids }) => ids.map((id) => [id, person] as const)));
  const roles = new Map(manifest.participants.map(({ id, role }) => [id, role]));
  const nameOf = (event: RecordedEvent): string => {
    const id = event.participant ?? '';
    return byId.get(id)?.name ?? roleName(roles.get(id) ?? text(event.data, 'sender'));
  };
  const shown = people.map(({ person }) => person);
  const messages = events
    .filter(({ type }) => type === 'chat')
    .map((event) => ({ at: event.at, who: nameOf(event), text: text(event.data, 'content') }))
    .filter((message) => message.text !== '');
  const { questions, open } = codeOf(events);
  return {
    duration,
    people: shown,
    tiles: tilesOf(shown),
    messages,
    questions,
    open,
    log: logOf(events, byId, nameOf, messages),
  };
}

/** The last entry that is not after t, or -1. */
export function indexAt(list: readonly { at: number }[], t: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((list[middle]?.at ?? Infinity) <= t) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function roleName(role: string): string {
  return ROLES.get(role) ?? (role || 'Guest');
}

/** The people who have media; all sockets where nobody has. */
function peopleOf({ participants, files }: Manifest, duration: number): { person: Person; ids: string[] }[] {
  const withMedia = participants.filter(({ id }) => files.some(({ participant }) => participant === id));
  const counted = withMedia.length > 0 ? withMedia : participants;
  const unknown = files.filter(({ participant }) => !participants.some(({ id }) => id === participant)).map(({ participant }) => participant);
  const strangers = [...new Set(unknown)].map((id): Participant => ({ id, role: '', joined: 0, left: null }));

  const groups: { role: string; ids: string[]; spans: Span[] }[] = [];
  for (const { id, role, joined, left } of [...counted, ...strangers].sort((a, b) => a.joined - b.joined)) {
    const span = { from: joined, to: left ?? duration };
    const before = groups.find((group) => {
      const end = group.spans.at(-1)?.to ?? 0;
      return group.role === role && joined - end >= -LINGER && joined - end <= AWAY && span.to > end;
    });
    if (before) {
      before.ids.push(id);
      before.spans.push(span);
    } else {
      groups.push({ role, ids: [id], spans: [span] });
    }
  }
  return groups.map(({ role, ids, spans }) => {
    const same = groups.filter((group) => group.role === role);
    const number = same.length > 1 ? ` ${same.findIndex((group) => group.ids === ids) + 1}` : '';
    return {
      ids,
      person: {
        key: ids[0] ?? '',
        name: `${roleName(role)}${number}`,
        role,
        spans,
        files: files.filter(({ participant }) => ids.includes(participant)).sort((a, b) => a.start - b.start),
      },
    };
  });
}

function tilesOf(people: Person[]): Tile[] {
  const tiles = people.flatMap((person) =>
    (['screen', 'camera'] as const).map((kind): Tile => ({
      key: `${kind} ${person.key}`,
      kind,
      person,
      label: kind === 'screen' ? `${person.name}’s screen` : person.name,
      files: person.files.filter((file) => file.kind === kind),
    })),
  );
  // Who never had a camera is somebody all the same; who never shared has no screen.
  return tiles.filter(({ kind, files }) => kind === 'camera' || files.length > 0);
}

function codeOf(events: RecordedEvent[]): { questions: Question[]; open: { at: number; key: string }[] } {
  const questions = new Map<string, Question>();
  const open: { at: number; key: string }[] = [];
  for (const { at, type, data } of events) {
    if (type !== 'code' && type !== 'language' && type !== 'question') continue;
    const index = number(data, 'currentQuestionIndex');
    const id = text(data, 'questionId');
    if (index === null && id === '') continue;
    const key = id || `#${index}`;
    if (open.at(-1)?.key !== key) open.push({ at, key });
    const question = questions.get(key) ?? { key, number: (index ?? questions.size) + 1, states: [] };
    questions.set(key, question);
    const before = question.states.at(-1);
    const code = type === 'code' ? text(data, 'code') : (before?.code ?? '');
    const language = text(data, 'language') || (before?.language ?? '');
    if (type !== 'question' && (code !== before?.code || language !== before.language)) question.states.push({ at, code, language });
  }
  return { questions: [...questions.values()].sort((a, b) => a.number - b.number), open };
}

function logOf(events: RecordedEvent[], byId: Map<string, Person>, nameOf: (event: RecordedEvent) => string, messages: Message[]): Entry[] {
  const log: Entry[] = [];
  let burst: Entry | null = null;
  let present = new Set<string>();
  for (const event of events) {
    const { at, type } = event;
    const person = byId.get(event.participant ?? '');
    const add = (kind: Entry['kind'], what: string) => log.push({ from: at, to: at, kind, text: what });
    switch (type) {
      case 'join':
        // Other sockets of somebody's page are nobody.
        if (person) add('people', present.has(person.key) ? `${person.name} came back` : `${person.name} joined`);
        if (person) present = new Set(present).add(person.key);
        break;
      case 'leave':
        if (person) add('people', `${person.name} left`);
        break;
      case 'share-on':
        add('screen', `${nameOf(event)} shares a screen`);
        break;
      case 'share-off':
        add('screen', `${nameOf(event)} stops sharing`);
        break;
      case 'mute':
      case 'unmute':
        if (event.track) add('media', `${nameOf(event)}’s ${event.track === 'audio' ? 'microphone' : 'camera'} ${type === 'mute' ? 'off' : 'on'}`);
        break;
      case 'gap':
        if ((event.duration ?? 0) >= 1) add('media', `${nameOf(event)}: ${event.track === 'audio' ? 'sound' : 'picture'} lost for ${Math.round(event.duration ?? 0)} s`);
        break;
      case 'recording-started':
        add('recording', 'Recording started');
        break;
      case 'recording-stopped':
        add('recording', 'Recording ended');
        break;
      case 'consent-given':
        add('recording', event.by ? `${nameOf(event)}’s agreement was passed on` : `${nameOf(event)} agreed to the recording`);
        break;
      case 'consent-refused':
        add('recording', `${nameOf(event)} refused the recording`);
        break;
      case 'question': {
        const index = number(event.data, 'currentQuestionIndex');
        if (index !== null) add('code', `Question ${index + 1} opened`);
        break;
      }
      case 'code':
        if (burst && at - burst.to <= BURST) {
          burst.to = at;
        } else {
          burst = { from: at, to: at, kind: 'code', text: `${nameOf(event)} writes code` };
          log.push(burst);
        }
        break;
    }
  }
  for (const message of messages) log.push({ from: message.at, to: message.at, kind: 'chat', text: `${message.who}: ${message.text}` });
  return log.sort((a, b) => a.from - b.from);
}

function text(data: unknown, name: string): string {
  const value: unknown = (data as Record<string, unknown> | null)?.[name];
  return typeof value === 'string' ? value : '';
}

function number(data: unknown, name: string): number | null {
  const value: unknown = (data as Record<string, unknown> | null)?.[name];
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : null;
}
