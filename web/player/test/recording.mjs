import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The media of the recording below. The picture of each camera is white, and its voice beeps, in the first fifth of each second of the room clock. */
const FILES = [
  { name: 'candidate-1.webm', participant: 'c1', kind: 'camera', start: 0.42, duration: 14.5, color: '0x3b1d2e', size: '320x240', voice: 1000 },
  { name: 'recruiter-1.webm', participant: 'r1', kind: 'camera', start: 2, duration: 7, color: '0x1d2e3b', size: '320x240', voice: 600 },
  { name: 'recruiter-2.webm', participant: 'r2', kind: 'camera', start: 11, duration: 3, color: '0x1d3b2e', size: '320x240', voice: 600 },
  { name: 'candidate-1-screen.webm', participant: 'c1', kind: 'screen', start: 4, duration: 6, size: '640x360' },
];

/** Makes the media files in `dir` with ffmpeg, with timestamps on the room clock as the server writes them. */
export async function makeFiles(dir) {
  for (const { name, start, duration, color, size, voice } of FILES) {
    const flash = `lt(mod(t+${start},1),0.2)`;
    const picture = voice
      ? `color=${color}:s=${size}:r=25:d=${duration},drawbox=c=white:t=fill:enable='${flash}'`
      : `testsrc2=s=${size}:r=10:d=${duration}`;
    const sound = voice ? ['-f', 'lavfi', '-i', `aevalsrc='0.4*sin(2*PI*${voice}*t)*${flash}':s=48000:d=${duration}`] : [];
    await run('ffmpeg', [
      ...['-v', 'error', '-y', '-f', 'lavfi', '-i', picture, ...sound],
      ...['-c:v', 'libvpx', '-b:v', '300k', '-deadline', 'realtime', '-cpu-used', '8', '-g', '50'],
      ...(voice ? ['-c:a', 'libopus', '-b:a', '24k'] : []),
      ...['-output_ts_offset', String(start), join(dir, name)],
    ]);
  }
}

const chat = (at, participant, sender, content) => ({ at, type: 'chat', participant, data: { id: at * 1000, content, sender, timestamp: '2026-11-26T10:53:20.000Z', isOwn: false } });
const code = (at, text, index = 0, language = 'javascript') => ({
  at,
  type: 'code',
  participant: 'code-socket',
  data: { questionId: `q${index}`, code: text, language, currentQuestionIndex: index, timestamp: '2026-11-26T10:53:20.000Z' },
});
const STEPS = ['function sum(list) {\n}', 'function sum(list) {\n  let all = 0;\n}', 'function sum(list) {\n  let all = 0;\n  for (const n of list) all += n;\n  return all;\n}'];

/** Its manifest. */
export async function makeManifest(dir) {
  const files = [];
  for (const { name, participant, kind, start, duration, size, voice } of FILES) {
    const [width, height] = size.split('x').map(Number);
    files.push({
      ...{ name, participant, kind, container: 'webm', start, duration, size: (await stat(join(dir, name))).size, sha256: 'x', complete: true },
      tracks: [{ kind: 'video', codec: 'VP8', width, height, start }, ...(voice ? [{ kind: 'audio', codec: 'Opus', start }] : [])],
    });
  }
  return {
    version: 1,
    id: '20261126T105316Z-5f3c9a2b',
    interview: 'backend-engineer-417',
    started: '2026-11-26T10:53:16.204Z',
    finished: '2026-11-26T10:53:31.204Z',
    duration: 15,
    state: 'finished',
    reason: 'requested',
    consent: { policy: 'notice' },
    participants: [
      { id: 'c1', role: 'candidate', joined: 0, left: null },
      { id: 'chat-socket', role: 'candidate', joined: 0.1, left: null },
      { id: 'code-socket', role: 'candidate', joined: 0.2, left: null },
      { id: 'r1', role: 'recruiter', joined: 1.8, left: 9.1 },
      { id: 'r2', role: 'recruiter', joined: 10.8, left: null },
    ],
    files,
    events: [
      { at: 0, type: 'recording-started' },
      { at: 0, type: 'join', participant: 'c1', role: 'candidate' },
      { at: 0.1, type: 'join', participant: 'chat-socket', role: 'candidate' },
      { at: 0.2, type: 'join', participant: 'code-socket', role: 'candidate' },
      { at: 1.8, type: 'join', participant: 'r1', role: 'recruiter' },
      chat(2.5, 'r1', 'recruiter', 'Hello, can you hear me? <b>Bold</b> is not markup here.'),
      chat(3.2, 'chat-socket', 'candidate', 'Yes, loud and clear'),
      { at: 4, type: 'share-on', participant: 'c1' },
      code(4.5, STEPS[0]),
      code(5.5, STEPS[1]),
      code(6.5, STEPS[2]),
      { at: 7, type: 'mute', participant: 'r1', track: 'audio' },
      { at: 7.5, type: 'language', participant: 'code-socket', data: { questionId: 'q0', language: 'typescript', currentQuestionIndex: 0 } },
      { at: 9.1, type: 'leave', participant: 'r1' },
      { at: 10, type: 'share-off', participant: 'c1' },
      { at: 10.8, type: 'join', participant: 'r2', role: 'recruiter' },
      chat(11.5, 'r2', 'recruiter', 'Sorry, my page was gone'),
      { at: 12, type: 'question', participant: 'code-socket', data: { questionId: 'q1', currentQuestionIndex: 1 } },
      code(12.5, 'SELECT 1;', 1, 'sql'),
      { at: 15, type: 'recording-stopped', reason: 'requested' },
    ],
  };
}
