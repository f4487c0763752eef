// What the hook does where media fall silent.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { io as connect } from 'socket.io-client';
import { fakeDevices } from './fake-media.mjs';
import { startRoom, until } from './room.mjs';

let room;
beforeEach(async () => {
  fakeDevices();
  room = await startRoom();
});
afterEach(() => room.close());

/** Two who see each other through a relay; `bytes` is what the recruiter's connection has received. */
async function connected(options) {
  room.mode = 'relay';
  const recruiter = await room.member('recruiter', options);
  const candidate = await room.member('candidate');
  await until('the answer', () => recruiter.connections[0]?.remoteDescription?.type === 'answer');
  const pair = { type: 'candidate-pair', bytesReceived: 0 };
  recruiter.connections[0].stats.set('pair', pair);
  for (const { connections } of [recruiter, candidate]) connections[0].become('connected');
  const flow = setInterval(() => pair.bytesReceived++, 100);
  const engine = () => recruiter.state().socket.io.engine;
  await until('the upgrade, and media', () => engine().transport.name === 'websocket' && pair.bytesReceived > 0);
  return { recruiter, first: engine(), engine, silence: () => clearInterval(flow) };
}

const asked = (who) => room.of('ice-servers', who.id).length;

test('media fall silent on a dead connection to a server that is there: another one goes on with the session', async () => {
  const { recruiter, first, engine, silence } = await connected();
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assert.equal(asked(recruiter), 0);
  silence();
  await until('another connection', () => engine() !== first && recruiter.state().phase === 'online');
  assert.equal(engine().transport.name, 'websocket'); // at once, not by an upgrade
  assert.equal(asked(recruiter), 1);
  assert.equal(recruiter.state().socket.id, recruiter.id);
  assert.equal(recruiter.state().socket.recovered, true);
});

test('media fall silent on a socket of the page\'s own: it is its server that counts, not that of the page', async () => {
  const socket = connect(room.url, { forceNew: true });
  try {
    const { recruiter, first, engine, silence } = await connected({ url: undefined, socket });
    room.reachable = false;
    silence();
    await until('the question', () => asked(recruiter) === 1);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    assert.equal(engine(), first);
    room.reachable = true;
    await until('another connection', () => engine() !== first && recruiter.state().phase === 'online');
    assert.equal(recruiter.state().socket.recovered, true);
  } finally {
    socket.disconnect();
  }
});

test('media fall silent while the server answers: nothing is closed, and fresh ICE servers are used', async () => {
  const told = [{ urls: 'turn:fresh.example' }];
  room.io.on('connection', (socket) => socket.on('ice-servers', (acknowledge) => acknowledge({ ok: true, iceServers: told })));
  const { recruiter, first, engine, silence } = await connected();
  silence();
  await until('the question', () => asked(recruiter) === 1);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  assert.equal(engine(), first);
  assert.equal(first.readyState, 'open');
  assert.equal(asked(recruiter), 1);
});

test('media fall silent with all of the network: a connection that may come back is not closed', async () => {
  const { recruiter, first, engine, silence } = await connected();
  room.reachable = false;
  silence();
  await until('the question', () => asked(recruiter) === 1);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  assert.equal(engine(), first);
  assert.equal(first.readyState, 'open');
});
