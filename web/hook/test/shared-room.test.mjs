import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { moveCaret, SharedRoom } from '../dist/index.js';
import { mergeText } from '../dist/merge-text.js';
import { startRoom, until } from './room.mjs';

let room;
beforeEach(async () => {
  room = await startRoom();
});
afterEach(() => room.close());

async function writer(role) {
  const { socket } = await room.socket(role);
  const shared = new SharedRoom({ interviewId: 'iv', userRole: role });
  shared.attach(socket);
  return { shared, socket, code: () => shared.store.getSnapshot().pads[0].code };
}

test('edits in different places both survive', () => {
  assert.equal(mergeText('one two three', 'ONE two three', 'one two THREE'), 'ONE two THREE');
  assert.equal(mergeText('one two three', 'one two THREE', 'ONE two three'), 'ONE two THREE');
  assert.equal(mergeText('a\n', 'a\nmine\n', 'a\n'), 'a\nmine\n');
  assert.equal(mergeText('a\n', 'a\n', 'a\ntheirs\n'), 'a\ntheirs\n');
  assert.equal(mergeText('abc', 'aXc', 'aYc'), 'aXc', 'where both changed the same, the own edit stays');
});

test('the caret stays at its word', () => {
  assert.equal(moveCaret('one two', 'zero one two', 7), 12);
  assert.equal(moveCaret('one two', 'one two three', 3), 3);
  assert.equal(moveCaret('one xx three', 'one three', 5), 4);
});

test('code reaches the others, and the own echo disturbs nobody', async () => {
  const one = await writer('recruiter');
  const other = await writer('candidate');
  one.shared.setCode('let a');
  await until('the text', () => other.code() === 'let a');
  one.shared.setCode('let a = 1');
  await until('the next text', () => other.code() === 'let a = 1');
  assert.equal(one.code(), 'let a = 1');
  assert.equal(room.of('code-update').length, 2);
});

test('two who write at once end with the same text, and with both edits', async () => {
  const one = await writer('recruiter');
  const other = await writer('candidate');
  one.shared.setCode('first\n\nlast\n');
  await until('the start', () => other.code() === 'first\n\nlast\n');
  one.shared.setCode('FIRST\n\nlast\n');
  other.shared.setCode('first\n\nLAST\n');
  await until('both edits at both', () => one.code() === 'FIRST\n\nLAST\n' && other.code() === one.code());
});

test('a message is one’s own only where it was sent', async () => {
  const one = await writer('recruiter');
  const other = await writer('recruiter');
  assert.equal(one.shared.sendMessage('   '), false);
  assert.equal(one.shared.sendMessage(' hello '), true);
  const of = ({ shared }) => shared.store.getSnapshot().messages;
  await until('the message', () => of(one).length === 1 && of(other).length === 1);
  assert.equal(of(one)[0].content, 'hello');
  assert.equal(of(one)[0].isOwn, true);
  assert.equal(of(other)[0].isOwn, false);
  one.socket.disconnect();
  assert.equal(one.shared.sendMessage('lost'), false);
});

test('updates of pages that leave things out find their question', async () => {
  const one = await writer('recruiter');
  one.shared.setCode('kept');
  await until('the echo', () => room.of('code-update').length === 1);
  const far = await room.socket('candidate');
  far.socket.emit('code-update', { interviewId: 'iv', questionId: 'question-1', code: 'changed', language: null });
  await until('the change', () => one.code() === 'changed');
  far.socket.emit('code-update', { interviewId: 'iv', questionId: 'x', code: 'second', language: 'go', currentQuestionIndex: 1 });
  await until('the second question', () => one.shared.store.getSnapshot().pads.length === 2);
  far.socket.emit('code-update', { interviewId: 'iv', questionId: 'y', code: 'elsewhere', currentQuestionIndex: 1e9 });
  await until('a question out of reach', () => one.code() === 'elsewhere');
  assert.deepEqual(
    one.shared.store.getSnapshot().pads.map(({ code, language }) => [code, language]),
    [['elsewhere', 'javascript'], ['second', 'go']],
  );
});
