import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createServer } from 'vite';

// What is made of a manifest, without a browser. Vite turns the TypeScript into what Node understands.

let vite;
let storyOf;
let indexAt;
let clock;
let spoken;
let bytes;
before(async () => {
  vite = await createServer({ root: fileURLToPath(new URL('..', import.meta.url)), appType: 'custom', server: { middlewareMode: true, hmr: false, ws: false }, logLevel: 'error' });
  ({ storyOf, indexAt } = await vite.ssrLoadModule('/src/story.ts'));
  ({ clock, spoken, bytes } = await vite.ssrLoadModule('/src/time.ts'));
});
after(() => vite.close());

const person = (id, role, joined, left = null) => ({ id, role, joined, left });
const file = (name, participant, start, duration, kind = 'camera') => ({
  ...{ name, participant, kind, container: 'webm', start, duration, size: 1, sha256: '', complete: true },
  tracks: [{ kind: 'video', codec: 'VP8', start }],
});
const manifest = (more) => ({
  ...{ version: 1, id: 'x', interview: 'i', started: '2026-11-26T10:53:16.204Z', finished: null, duration: 60, state: 'finished', consent: { policy: 'none' } },
  ...{ participants: [], files: [], events: [] },
  ...more,
});
const names = (story) => story.people.map(({ name }) => name);

test('people are those with media; several of a role have numbers', () => {
  const story = storyOf(
    manifest({
      participants: [person('c', 'candidate', 0), person('chat', 'candidate', 0), person('r', 'recruiter', 1), person('s', 'recruiter', 2)],
      files: [file('c.webm', 'c', 1, 50), file('r.webm', 'r', 2, 50), file('s.webm', 's', 3, 50), file('c-screen.webm', 'c', 9, 5, 'screen')],
    }),
  );
  assert.deepEqual(names(story), ['Candidate', 'Recruiter 1', 'Recruiter 2']);
  assert.deepEqual(story.tiles.map(({ label }) => label), ['Candidate’s screen', 'Candidate', 'Recruiter 1', 'Recruiter 2']);
});

test('a page that was loaded anew is the same person, a long time later it is another one', () => {
  const of = (...times) =>
    storyOf(
      manifest({
        duration: 600,
        participants: times.map(([joined, left], index) => person(`c${index}`, 'candidate', joined, left)),
        files: times.map(([joined], index) => file(`${index}.webm`, `c${index}`, joined, 5)),
      }),
    );
  const reloaded = of([0, 20], [23, 100], [97, null]);
  assert.deepEqual(names(reloaded), ['Candidate']);
  assert.deepEqual(reloaded.people[0].spans, [{ from: 0, to: 20 }, { from: 23, to: 100 }, { from: 97, to: 600 }]);
  assert.equal(reloaded.people[0].files.length, 3);
  assert.deepEqual(names(of([0, 20], [300, null])), ['Candidate 1', 'Candidate 2']);
  assert.deepEqual(names(of([0, 20], [10, null])), ['Candidate 1', 'Candidate 2']);
});

test('who is only known by a file is shown all the same', () => {
  const story = storyOf(manifest({ files: [file('a.webm', 'gone', 0, 5)] }));
  assert.deepEqual(names(story), ['Guest']);
  assert.equal(story.tiles.length, 1);
});

test('the whole is as long as its longest file', () => {
  assert.equal(storyOf(manifest({ duration: 10, files: [file('a.webm', 'a', 4, 8)] })).duration, 12);
  assert.equal(storyOf(manifest({ duration: 0 })).duration, 0);
});

test('code is what it was at each moment, question by question', () => {
  const code = (at, type, data) => ({ at, type, data });
  const story = storyOf(
    manifest({
      events: [
        code(9, 'code', { questionId: 'b', code: 'B1', language: 'go', currentQuestionIndex: 1 }),
        code(1, 'code', { questionId: 'a', code: 'A1', language: 'go', currentQuestionIndex: 0 }),
        code(2, 'code', { questionId: 'a', code: 'A2', language: 'go', currentQuestionIndex: 0 }),
        code(3, 'code', { questionId: 'a', code: 'A2', language: 'go', currentQuestionIndex: 0 }),
        code(4, 'language', { questionId: 'a', language: 'rust', currentQuestionIndex: 0 }),
        code(5, 'question', { questionId: 'b', currentQuestionIndex: 1 }),
      ],
    }),
  );
  assert.deepEqual(story.questions.map(({ key, number }) => [key, number]), [['a', 1], ['b', 2]]);
  const [first] = story.questions;
  assert.deepEqual(first.states, [
    { at: 1, code: 'A1', language: 'go' },
    { at: 2, code: 'A2', language: 'go' },
    { at: 4, code: 'A2', language: 'rust' },
  ]);
  assert.deepEqual([0.5, 1, 3, 60].map((t) => indexAt(first.states, t)), [-1, 0, 1, 2]);
  assert.deepEqual(story.open, [{ at: 1, key: 'a' }, { at: 5, key: 'b' }]);
  assert.deepEqual(story.log.filter(({ kind }) => kind === 'code').map(({ from, to, text }) => [from, to, text]), [
    [1, 9, 'Guest writes code'],
    [5, 5, 'Question 2 opened'],
  ]);
});

test('whatever pages sent, it is shown as text or left out', () => {
  const bad = [undefined, null, 7, 'text', [], {}, { content: 7 }, { content: '' }, { code: {} }, { questionId: {}, currentQuestionIndex: -1, code: 'x' }, { currentQuestionIndex: 1.5 }];
  const story = storyOf(
    manifest({
      participants: [person('x', '__proto__', 0)],
      events: ['chat', 'code', 'language', 'question', 'join', 'gap', 'mute', 'constructor', 'future-type'].flatMap((type) => bad.map((data) => ({ at: 1, type, participant: '__proto__', data }))),
    }),
  );
  assert.deepEqual(story.messages, []);
  assert.deepEqual(story.questions, []);
  assert.deepEqual(names(story), ['__proto__']);
});

test('times and sizes in words', () => {
  assert.deepEqual([0, 59.99, 60, 3599, 3600, 36_061].map((s) => clock(s)), ['0:00', '0:59', '1:00', '59:59', '1:00:00', '10:01:01']);
  assert.equal(clock(65, 7200), '0:01:05');
  assert.deepEqual([0, 1, 61, 3602].map(spoken), ['0 seconds', '1 second', '1 minute 1 second', '1 hour 2 seconds']);
  assert.deepEqual([0, 999, 1500, 123_456_789].map(bytes), ['0 B', '999 B', '1.5 kB', '123 MB']);
});
