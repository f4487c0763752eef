import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FakeConnection, fakeDevices } from './fake-media.mjs';
import { sdp, startRoom, until } from './room.mjs';

let devices;
let room;
beforeEach(async () => {
  devices = fakeDevices();
  room = await startRoom();
});
afterEach(() => room.close());

const signal = (to, type, description, more = {}) => ({ to, type, signal: { type, sdp: description }, ...more });

test('a recruiter calls the candidate who joins, and both see each other', async () => {
  const recruiter = await room.member('recruiter');
  const candidate = await room.member('candidate', { start: false });
  await until('the answer', () => recruiter.connections[0]?.remoteDescription?.type === 'answer');
  recruiter.connections[0].become('connected');
  candidate.connections[0].become('connected');
  assert.equal(recruiter.state().isConnected, true);
  for (const [one, other] of [[recruiter, candidate], [candidate, recruiter]]) {
    const stream = one.state().remoteStreams[other.id];
    assert.deepEqual(stream.getTracks().map(({ kind }) => kind).sort(), ['audio', 'video']);
    assert.deepEqual(one.connections[0].getSenders().map(({ track }) => track.kind), ['audio', 'video']);
    assert.equal(one.connections.length, 1);
  }
  await until('the candidates', () => recruiter.connections[0].candidates.length && candidate.connections[0].candidates.length);
});

test('two offers at once start the camera once, and both get the same tracks', async () => {
  let open;
  devices.answer = () => new Promise((resolve) => (open = resolve));
  const candidate = await room.member('candidate', { start: false });
  const first = await room.socket('recruiter');
  const second = await room.socket('recruiter');
  first.socket.emit('signal', signal(candidate.id, 'offer', sdp({ name: 'one' })));
  second.socket.emit('signal', signal(candidate.id, 'offer', sdp({ name: 'two' })));
  await until('the prompt', () => open);
  await until('both offers', () => candidate.connections.length === 2);
  open();
  await until('both answers', () => [first, second].every((other) => other.of('signal').some(({ type }) => type === 'answer')));
  assert.equal(devices.asked.length, 1);
  const tracks = candidate.connections.map((connection) => connection.getSenders().map(({ track }) => track));
  assert.deepEqual(tracks[0], tracks[1]);
  assert.ok(tracks[0].every((track) => track.readyState === 'live'));
});

test('connections use the ICE servers that the server tells of, unless the page brings its own', async () => {
  const told = [{ urls: ['turn:turn.example:443?transport=udp'], username: 'user', credential: 'secret' }];
  room.io.on('connection', (socket) => {
    socket.on('join-room', () => socket.emit('ice-servers', { iceServers: told, ttl: 43_200 }));
  });
  for (const own of [undefined, [{ urls: 'stun:own.example' }]]) {
    const used = [];
    const createConnection = ({ iceServers }) => {
      used.push(iceServers);
      return new FakeConnection();
    };
    const candidate = await room.member('candidate', { iceServers: own, createConnection });
    const far = await room.socket('recruiter');
    far.socket.emit('signal', signal(candidate.id, 'offer', sdp()));
    await until('the answer', () => far.of('signal').some(({ type }) => type === 'answer'));
    assert.deepEqual(used, [own ?? told]);
    far.socket.disconnect();
    candidate.call.close();
  }
});

test('candidates that come before their offer are kept for it', async () => {
  const candidate = await room.member('candidate');
  const far = await room.socket('recruiter');
  far.socket.emit('ice-candidate', { to: candidate.id, candidate: { candidate: 'candidate:1 1 udp 1 192.0.2.9 9 typ host ufrag far' } });
  far.socket.emit('ice-candidate', { to: candidate.id, candidate: { candidate: '' } });
  far.socket.emit('signal', signal(candidate.id, 'offer', sdp()));
  await until('the answer', () => far.of('signal').length === 1);
  assert.equal(candidate.connections.length, 1);
  assert.equal(candidate.connections[0].candidates.length, 1);
  assert.equal(far.of('signal')[0].type, 'answer');
});

test('offers without a media section and unknown kinds of signals are left alone', async () => {
  const candidate = await room.member('candidate');
  const far = await room.socket('recruiter');
  far.socket.emit('signal', signal(candidate.id, 'offer', sdp({ media: [] })));
  far.socket.emit('signal', { to: candidate.id, type: 'renegotiate', signal: { type: 'renegotiate' } });
  far.socket.emit('signal', { to: candidate.id, type: 'offer', signal: null });
  far.socket.emit('signal', signal(candidate.id, 'answer', sdp()));
  far.socket.emit('signal', signal(candidate.id, 'offer', sdp({ name: 'real' })));
  await until('an answer', () => far.of('signal').length > 0);
  assert.equal(far.of('signal').length, 1);
  assert.equal(candidate.connections.length, 1);
  assert.deepEqual(candidate.connections[0].log, ['remote offer', 'local answer']);
});

test('a candidate yields when both offer', async () => {
  const candidate = await room.member('candidate');
  const far = await room.socket('recruiter');
  far.socket.emit('signal', signal(candidate.id, 'offer', sdp()));
  await until('the answer', () => far.of('signal').length === 1);
  candidate.connections[0].restartIce();
  await until('an offer of its own', () => far.of('signal').at(-1).type === 'offer');
  far.socket.emit('signal', signal(candidate.id, 'offer', sdp({ ufrag: 'far2' })));
  await until('the answer in spite of its own offer', () => far.of('signal').at(-1).type === 'answer');
  assert.equal(candidate.connections.length, 1);
  assert.equal(candidate.connections[0].getTransceivers().length, 2);
});

test('a recruiter’s offer stands when both offer', async () => {
  const recruiter = await room.member('recruiter');
  const other = await room.socket('candidate');
  await until('the call', () => other.of('signal').length === 1);
  other.socket.emit('signal', signal(recruiter.id, 'offer', sdp({ name: 'glare' })));
  other.socket.emit('signal', signal(recruiter.id, 'answer', sdp({ name: 'answer' })));
  const [connection] = recruiter.connections;
  await until('the answer to its offer', () => connection.remoteDescription);
  assert.deepEqual(connection.log, ['local offer', 'remote answer']);
});

test('a far side that does not yield either is answered in the end', { timeout: 20_000 }, async () => {
  const recruiter = await room.member('recruiter');
  const other = await room.socket('candidate');
  await until('the call', () => other.of('signal').length === 1);
  other.socket.emit('signal', signal(recruiter.id, 'offer', sdp()));
  await until('the answer', () => other.of('signal').some(({ type }) => type === 'answer'));
  assert.ok(recruiter.connections[0].log.includes('local rollback'));
});

test('a far side that has built a new connection gets a new one', async () => {
  const candidate = await room.member('candidate');
  const far = await room.socket('recruiter');
  far.socket.emit('signal', signal(candidate.id, 'offer', sdp({ name: 'before' })));
  await until('the answer', () => far.of('signal').length === 1);
  far.socket.emit('signal', signal(candidate.id, 'offer', sdp({ name: 'before', ufrag: 'restarted' })));
  await until('the answer to the restart', () => far.of('signal').length === 2);
  assert.equal(candidate.connections.length, 1);
  far.socket.emit('signal', signal(candidate.id, 'offer', sdp({ name: 'after' })));
  await until('the answer to the new one', () => far.of('signal').length === 3);
  assert.equal(candidate.connections.length, 2);
  assert.equal(candidate.connections[0].signalingState, 'closed');
});

test('a broken connection restarts ICE at the recruiter, and comes back', async () => {
  const recruiter = await room.member('recruiter');
  const candidate = await room.member('candidate');
  await until('the answer', () => recruiter.connections[0]?.remoteDescription);
  const [connection] = recruiter.connections;
  connection.become('connected');
  candidate.connections[0].become('connected');
  connection.become('failed');
  await until('the restart', () => connection.log.includes('restart'));
  await until('its answer', () => connection.log.filter((line) => line === 'remote answer').length === 2);
  assert.equal(recruiter.connections.length, 1);
  connection.become('connected');
  assert.equal(recruiter.state().isConnected, true);
});

test('one of two connections lost leaves the call connected, and a leaver is forgotten', async () => {
  const recruiter = await room.member('recruiter');
  const first = await room.socket('candidate');
  const second = await room.socket('candidate');
  for (const far of [first, second]) {
    await until('the call', () => far.of('signal').length === 1);
    far.socket.emit('signal', signal(recruiter.id, 'answer', sdp({ name: far.id })));
  }
  await until('both answers', () => Object.keys(recruiter.state().peerStates).length === 2);
  for (const connection of recruiter.connections) connection.become('connected');
  recruiter.connections[0].become('disconnected');
  assert.equal(recruiter.state().isConnected, true);
  first.socket.disconnect();
  await until('the leaver gone', () => !recruiter.state().participants[first.id]);
  assert.deepEqual(Object.keys(recruiter.state().remoteStreams), [second.id]);
  assert.equal(recruiter.connections[0].signalingState, 'closed');
});

test('what the browsers share no format for is told, once for each kind, until that person leaves', async () => {
  const recruiter = await room.member('recruiter');
  const far = await room.socket('candidate');
  const other = await room.socket('candidate');
  const tell = (userId, kind, isScreenShare, reason) =>
    room.io.to(recruiter.id).emit('media-unsupported', { userId, kind, isScreenShare, reason });
  tell(far.id, 'video', false, 'first');
  tell(far.id, 'video', true, 'screen');
  tell(other.id, 'audio', false, 'sound');
  room.io.to(recruiter.id).emit('media-unsupported', null);
  tell(far.id, 'video', false, 'again');
  await until('all of it', () => recruiter.state().unsupported.at(-1)?.reason === 'again');
  assert.deepEqual(recruiter.state().unsupported.map(({ reason }) => reason), ['screen', 'sound', 'again']);
  far.socket.disconnect();
  await until('the leaver gone', () => !recruiter.state().participants[far.id]);
  assert.deepEqual(recruiter.state().unsupported.map(({ userId }) => userId), [other.id]);
});

test('how the connections do is told by the keys of the streams, for those who are there', async () => {
  const recruiter = await room.member('recruiter');
  const far = await room.socket('candidate');
  await until('the call', () => far.of('signal').length === 1);
  far.socket.emit('signal', signal(recruiter.id, 'answer', sdp()));
  far.socket.emit('signal', { ...signal(recruiter.id, 'offer', sdp({ name: 'screen', media: ['video'] })), isScreenShare: true });
  await until('both connections', () => recruiter.connections.length === 2);
  const tell = (connections) => room.io.to(recruiter.id).emit('connection-quality', connections);
  const one = (userId, quality, isScreenShare = false) => ({ userId, quality, isScreenShare, peerQuality: 'fair', rtt: 20, bitrateUp: 1 });
  tell([one(far.id, 'good'), one(far.id, 'poor', true), one('gone', 'good')]);
  await until('the figures', () => recruiter.state().connectionQuality[far.id]);
  const { connectionQuality } = recruiter.state();
  assert.deepEqual(Object.keys(connectionQuality), [far.id, `${far.id}-screen`]);
  assert.deepEqual(connectionQuality[far.id], one(far.id, 'good'));
  assert.equal(connectionQuality[`${far.id}-screen`].quality, 'poor');
  // What is no list, or of a later server, does no harm.
  for (const odd of [null, {}, 'x', [null, 7, one(far.id, 'splendid')]]) tell(odd);
  await until('the last of it', () => Object.keys(recruiter.state().connectionQuality).length === 0);
  tell([one(far.id, 'lost')]);
  await until('new figures', () => recruiter.state().connectionQuality[far.id]?.quality === 'lost');
  far.socket.disconnect();
  await until('the leaver gone', () => !recruiter.state().participants[far.id]);
  assert.deepEqual(recruiter.state().connectionQuality, {});
});

test('figures of before a break are not shown after it', async () => {
  const recruiter = await room.member('recruiter');
  const far = await room.socket('candidate');
  await until('the call', () => far.of('signal').length === 1);
  room.io.to(recruiter.id).emit('connection-quality', [{ userId: far.id, quality: 'good', isScreenShare: false }]);
  await until('the figures', () => recruiter.state().connectionQuality[far.id]);
  room.io.sockets.sockets.get(recruiter.id).conn.close();
  await until('the break', () => recruiter.state().phase === 'reconnecting');
  assert.deepEqual(recruiter.state().connectionQuality, {});
});

test('the recording is what the server said last, and unknown words are none', async () => {
  const idle = { state: 'off', mode: 'on-request', consent: 'required', recording: '', pending: [], refused: [], reason: '' };
  let tell;
  room.io.on('connection', (socket) => {
    tell = (status) => socket.emit('recording-status', status);
    socket.on('join-room', () => tell(idle));
  });
  const candidate = await room.member('candidate');
  await until('the status', () => candidate.state().recording);
  assert.deepEqual(candidate.state().recording, idle);
  assert.equal(room.of('join-room', candidate.id)[0].showsRecording, true);
  tell({ ...idle, state: 'paused' });
  tell(null);
  tell({ ...idle, state: 'waiting', pending: [candidate.id] });
  await until('the question', () => candidate.state().recording.state === 'waiting');
  assert.deepEqual(candidate.state().recording.pending, [candidate.id]);
  tell({ state: 'recording', pending: null });
  await until('the start', () => candidate.state().recording.state === 'recording');
  assert.deepEqual([candidate.state().recording.pending, candidate.state().recording.refused], [[], []]);
  room.io.sockets.sockets.get(candidate.id).conn.close();
  await until('the break', () => candidate.state().phase === 'reconnecting');
  assert.equal(candidate.state().recording.state, 'recording');
  candidate.call.close();
  assert.equal(candidate.state().recording, null);
});

test('recordings are asked for in the interview’s name, and every question is answered', async () => {
  const asked = [];
  let answer = { ok: true, status: {} };
  room.io.on('connection', (socket) => {
    for (const event of ['recording-start', 'recording-stop', 'recording-consent']) {
      socket.on(event, (payload, acknowledge) => {
        asked.push([event, payload]);
        acknowledge(answer);
      });
    }
  });
  const recruiter = await room.member('recruiter');
  const { call } = recruiter;
  assert.deepEqual(await call.startRecording(), { ok: true });
  assert.deepEqual(await call.giveConsent(false), { ok: true });
  answer = { ok: false, code: 'not-recording', message: 'nothing runs' };
  assert.deepEqual(await call.stopRecording(), answer);
  assert.deepEqual(asked, [
    ['recording-start', { interviewId: 'iv' }],
    ['recording-consent', { interviewId: 'iv', agreed: false }],
    ['recording-stop', { interviewId: 'iv' }],
  ]);
  room.io.sockets.sockets.get(recruiter.id).conn.close();
  await until('the break', () => recruiter.state().phase === 'reconnecting');
  assert.equal((await call.startRecording()).code, 'offline');
  call.close();
  assert.equal((await call.startRecording()).code, 'offline');
});

test('a server that knows no recordings leaves the question open only for a while', { timeout: 30_000 }, async () => {
  const recruiter = await room.member('recruiter');
  assert.equal((await recruiter.call.startRecording()).code, 'no-answer');
});

test('a room that is relayed from now on is called anew, and its way is told', async () => {
  room.mode = 'p2p';
  const recruiter = await room.member('recruiter');
  const candidate = await room.member('candidate');
  const third = await room.member('recruiter');
  await until('the calls', () => candidate.connections.length === 2 && candidate.connections.every((one) => one.remoteDescription));
  await until('the call among recruiters', () => third.connections.length === 2);
  const members = [recruiter, third, candidate];
  const users = Object.fromEntries(members.map(({ id }) => [id, { userRole: id === candidate.id ? 'candidate' : 'recruiter' }]));
  // In the order in which the server tells each of them.
  const tell = ({ id }, calls) => {
    const socket = room.io.to(id);
    socket.emit('room-mode', { mode: 'relay' });
    for (const other of members) if (other.id !== id) socket.emit('user-left', { userId: other.id });
    for (const other of calls) socket.emit('user-joined', { userId: other.id, ...users[other.id] });
    socket.emit('room-users', users);
  };
  tell(candidate, []);
  tell(third, [candidate]);
  tell(recruiter, [third, candidate]);
  const offersOf = (from, to) => room.of('signal', from.id).filter(({ type, to: id }) => type === 'offer' && id === to.id).length;
  await until('the calls again', () => offersOf(recruiter, candidate) === 2 && offersOf(third, candidate) === 2 && offersOf(recruiter, third) === 2);
  await until('all answers', () => members.every(({ connections }) => connections.slice(2).every((one) => one.remoteDescription)));
  assert.equal(offersOf(third, recruiter), 0);
  assert.deepEqual(members.map(({ connections }) => connections.length), [4, 4, 4]);
  const connection = recruiter.connections.at(-1);
  connection.getStats = async () => [
    { id: 'pair', type: 'candidate-pair', selected: true, localCandidateId: 'host' },
    { id: 'host', candidateType: 'host', protocol: 'udp' },
  ];
  connection.become('connected');
  await until('the way', () => recruiter.state().mediaPath?.route === 'relay');
});

test('silent sockets of the same person are nobody', async () => {
  const recruiter = await room.member('recruiter');
  await room.socket('candidate');
  await room.socket('recruiter');
  await until('an offer', () => room.of('signal').length > 0);
  assert.deepEqual(recruiter.state().peerStates, {});
  assert.deepEqual(recruiter.state().remoteStreams, {});
  assert.equal(recruiter.state().isConnected, false);
  assert.equal(Object.keys(recruiter.state().participants).length, 3);
});

test('a share goes to those present and to those who come later, each track once', async () => {
  const candidate = await room.member('candidate');
  const first = await room.member('recruiter');
  await until('the call', () => first.connections[0]?.remoteDescription);
  await candidate.call.startScreenShare();
  await until('the first viewer', () => first.state().remoteStreams[`${candidate.id}-screen`]);
  const second = await room.member('recruiter');
  await until('the second viewer', () => second.state().remoteStreams[`${candidate.id}-screen`]);
  const status = room.seen.findIndex(({ event }) => event === 'screen-share-status');
  const offer = room.seen.findIndex(({ isScreenShare, type }) => isScreenShare && type === 'offer');
  assert.ok(status >= 0 && status < offer, 'the status goes before the offer');
  const outgoing = candidate.connections.filter((connection) => connection.getTransceivers()[0].direction === 'sendonly');
  assert.equal(outgoing.length, 2);
  for (const connection of outgoing) assert.deepEqual(connection.getSenders().map(({ track }) => track.kind), ['audio', 'video']);

  candidate.call.stopScreenShare();
  for (const viewer of [first, second]) {
    await until('the screen gone', () => !viewer.state().remoteStreams[`${candidate.id}-screen`]);
    assert.ok(viewer.state().remoteStreams[candidate.id], 'the camera stays');
  }
  assert.ok(outgoing.every(({ signalingState }) => signalingState === 'closed'));
  assert.equal(candidate.state().isScreenSharing, false);

  await candidate.call.startScreenShare();
  for (const viewer of [first, second]) {
    await until('the second share', () => viewer.state().remoteStreams[`${candidate.id}-screen`]);
  }
});

test('a share that ends in the browser ends in the call', async () => {
  const candidate = await room.member('candidate');
  const stream = await candidate.call.startScreenShare();
  assert.equal(candidate.state().isScreenSharing, true);
  stream.getVideoTracks()[0].onended();
  assert.equal(candidate.state().isScreenSharing, false);
  assert.ok(stream.getTracks().every(({ readyState }) => readyState === 'ended'));
  await until('the status', () => room.of('screen-share-status').at(-1)?.isSharing === false);
});

test('declining the screen picker is no error', async () => {
  const candidate = await room.member('candidate');
  devices.answer = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
  assert.equal(await candidate.call.startScreenShare(), null);
  assert.equal(candidate.state().error, null);
  assert.equal(room.of('screen-share-status').length, 0);
});

test('both may share at once', async () => {
  const recruiter = await room.member('recruiter');
  const candidate = await room.member('candidate');
  await until('the call', () => recruiter.connections[0]?.remoteDescription);
  await recruiter.call.startScreenShare();
  await candidate.call.startScreenShare();
  await until('their screens', () => recruiter.state().remoteStreams[`${candidate.id}-screen`] && candidate.state().remoteStreams[`${recruiter.id}-screen`]);
  for (const connection of [...recruiter.connections, ...candidate.connections]) {
    await until('candidates on each connection', () => connection.candidates.length > 0);
  }
});

test('two recruiters call each other once', async () => {
  const first = await room.member('recruiter');
  const second = await room.member('recruiter');
  await until('each other', () => first.state().remoteStreams[second.id] && second.state().remoteStreams[first.id]);
  assert.equal(room.of('signal').filter(({ type }) => type === 'offer').length, 1);
});

test('a restarted camera takes the old one’s place without a negotiation', async () => {
  const recruiter = await room.member('recruiter');
  const candidate = await room.member('candidate');
  await until('the call', () => recruiter.connections[0]?.remoteDescription);
  const before = room.of('signal').length;
  candidate.media.stop();
  await candidate.media.start();
  const senders = candidate.connections[0].getSenders();
  assert.deepEqual(senders.map(({ track }) => track), candidate.media.ref.current.getTracks());
  assert.equal(candidate.connections[0].getTransceivers().length, 2);
  assert.equal(room.of('signal').length, before);
});

test('a camera that comes later than the call is offered', async () => {
  devices.answer = () => Promise.reject(new DOMException('none', 'NotAllowedError'));
  const recruiter = await room.member('recruiter');
  const candidate = await room.member('candidate');
  await until('the call without media', () => recruiter.connections[0]?.remoteDescription);
  assert.deepEqual(recruiter.state().remoteStreams, {});
  devices.answer = async () => undefined;
  await candidate.media.start();
  await until('the picture', () => recruiter.state().remoteStreams[candidate.id]);
});

test('after a break the same session goes on without joining again', async () => {
  const recruiter = await room.member('recruiter');
  const candidate = await room.member('candidate');
  await until('the call', () => recruiter.connections[0]?.remoteDescription);
  candidate.connections[0].become('connected');
  const joins = room.of('join-room').length;
  candidate.state().socket.io.engine.close();
  await until('the break', () => candidate.state().phase === 'reconnecting');
  await until('the return', () => candidate.state().phase === 'online', 15_000);
  assert.equal(candidate.state().selfId, candidate.id);
  assert.equal(room.of('join-room').length, joins);
  assert.equal(candidate.state().isConnected, true);
});

test('without session recovery it joins again, and shares again', async () => {
  const plain = await startRoom({ recovery: false });
  try {
    const recruiter = await plain.member('recruiter');
    const candidate = await plain.member('candidate');
    await until('the call', () => recruiter.connections[0]?.remoteDescription);
    await candidate.call.startScreenShare();
    await until('the screen', () => recruiter.state().remoteStreams[`${candidate.id}-screen`]);
    const old = [...candidate.connections];
    candidate.state().socket.io.engine.close();
    await until('the new session', () => candidate.state().selfId !== candidate.id && candidate.state().phase === 'online', 15_000);
    const now = candidate.state().selfId;
    await until('camera and screen again', () => {
      const streams = recruiter.state().remoteStreams;
      return streams[now] && streams[`${now}-screen`];
    });
    assert.deepEqual(Object.keys(recruiter.state().remoteStreams).sort(), [now, `${now}-screen`].sort());
    assert.ok(old.every(({ signalingState }) => signalingState === 'closed'));
  } finally {
    await plain.close();
  }
});

test('a refusal names its reason and stops', async () => {
  room.io.use((socket, next) => (socket.handshake.auth.token ? next() : next(new Error('a token is needed'))));
  const welcome = await room.member('recruiter', { auth: { token: 'x' } });
  assert.equal(welcome.state().phase, 'online');
  const refused = await room.member('recruiter', { reach: 'refused' });
  assert.equal(refused.state().error, 'a token is needed');
});

test('a call can be closed and started again', async () => {
  const recruiter = await room.member('recruiter');
  recruiter.call.close();
  recruiter.call.close();
  recruiter.call.start();
  await until('the second join', () => recruiter.state().phase === 'online');
  await until('the first one gone', () => Object.keys(recruiter.state().participants).length === 1);
});

test('a candidate whom nobody calls calls the recruiter', { timeout: 30_000 }, async () => {
  const old = await room.socket('recruiter');
  const candidate = await room.member('candidate');
  await until('the knock', () => old.of('ice-candidate').length === 1);
  assert.equal(old.of('signal').length, 0);
  await until('the call', () => old.of('signal').some(({ type }) => type === 'offer'));
  // As old pages do: an offer of their own at once, withdrawn in favour of the one that came.
  old.socket.emit('signal', signal(candidate.id, 'offer', sdp({ ufrag: 'withdrawn' })));
  old.socket.emit('signal', signal(candidate.id, 'answer', sdp()));
  await until('the picture', () => candidate.state().remoteStreams[old.id]);
  assert.deepEqual(candidate.connections[0].log, ['local offer', 'remote answer']);
});

test('where a picture stops, room is offered for another camera, and only so often', { timeout: 60_000 }, async () => {
  const recruiter = await room.member('recruiter');
  const candidate = await room.member('candidate');
  await until('the call', () => recruiter.connections[0]?.remoteDescription);
  const [connection] = recruiter.connections;
  connection.stats.set('in', { type: 'inbound-rtp', framesReceived: 10 });
  connection.become('connected');
  for (const sections of [4, 6, 8, 10]) {
    await until(`${sections} m-lines`, () => candidate.connections[0].getTransceivers().length === sections);
  }
  assert.deepEqual(connection.getTransceivers().slice(2).map(({ direction }) => direction), Array(8).fill('recvonly'));
  const offers = () => room.of('signal', recruiter.id).filter(({ type }) => type === 'offer').length;
  const before = offers();
  let looked = 0;
  connection.getStats = async () => (looked++, connection.stats);
  await until('two more looks', () => looked >= 4);
  assert.equal(offers(), before);
  assert.equal(connection.getSenders().filter(({ track }) => track).length, 2);
});

test('an old recruiter’s page that calls on the knock is only answered', { timeout: 30_000 }, async () => {
  const old = await room.socket('recruiter');
  const candidate = await room.member('candidate');
  old.socket.once('ice-candidate', () => old.socket.emit('signal', signal(candidate.id, 'offer', sdp())));
  await until('the answer', () => old.of('signal').some(({ type }) => type === 'answer'));
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  assert.deepEqual(old.of('signal').map(({ type }) => type), ['answer']);
});

test('whose media do not come is told until they do, or until that person leaves', async () => {
  const recruiter = await room.member('recruiter');
  const far = await room.socket('candidate');
  await until('the far side', () => recruiter.state().participants[far.id]);
  const tell = (status) => room.io.to(recruiter.id).emit('media-status', status);
  const one = (more) => ({ userId: far.id, isScreenShare: false, own: false, state: 'no-media', reason: 'never', ...more });
  tell(one());
  tell(one({ own: true, state: 'no-connection', reason: 'ice' }));
  tell(one({ isScreenShare: true }));
  tell(one({ reason: 'stopped' }));
  for (const odd of [null, 'x', {}, one({ userId: 7 }), one({ state: 'splendid' }), one({ userId: 'gone' })]) tell(odd);
  await until('all of it', () => recruiter.state().mediaTroubles.at(-1)?.reason === 'stopped');
  tell(one({ isScreenShare: true, own: true }));
  await until('the last of it', () => recruiter.state().mediaTroubles.length === 4);
  assert.deepEqual(
    recruiter.state().mediaTroubles.map(({ isScreenShare, own, reason }) => `${isScreenShare} ${own} ${reason}`),
    ['false true ice', 'true false never', 'false false stopped', 'true true never'],
  );
  far.socket.emit('screen-share-status', { interviewId: 'iv', isSharing: false });
  await until('no screen any more', () => recruiter.state().mediaTroubles.length === 3);
  tell(one({ state: 'ok', reason: '' }));
  await until('one less', () => recruiter.state().mediaTroubles.length === 2);
  assert.deepEqual(recruiter.state().mediaTroubles[0].own, true);
  far.socket.disconnect();
  await until('nothing', () => recruiter.state().mediaTroubles.length === 0);
});

test('one word tells how all of it is connected', async () => {
  const recruiter = await room.member('recruiter');
  const said = () => `${recruiter.state().connection.state} ${recruiter.state().connection.reason}`;
  assert.equal(said(), 'connected null');
  const candidate = await room.member('candidate');
  await until('the answer', () => recruiter.connections[0]?.remoteDescription);
  assert.equal(said(), 'connecting null');
  const tell = (state, reason) =>
    room.io.to(recruiter.id).emit('media-status', { userId: candidate.id, isScreenShare: false, own: true, state, reason });
  tell('no-connection', 'ice');
  await until('no way', () => said() === 'failed ice');
  tell('ok', '');
  await until('another attempt', () => said() === 'connecting null');
  const [connection] = recruiter.connections;
  connection.become('connected');
  assert.equal(said(), 'connected null');
  connection.become('disconnected');
  assert.equal(said(), 'reconnecting lost');
  connection.become('connecting');
  assert.equal(said(), 'reconnecting lost');
  connection.become('connected');
  assert.equal(said(), 'connected null');
  recruiter.state().socket.io.engine.close();
  await until('the break', () => said() === 'reconnecting server');
  await until('the return', () => said() === 'connected null');
  recruiter.call.close();
  assert.equal(said(), 'idle null');
});

test('who was in the room and finds it full for a moment asks again; a stranger does not', { timeout: 30_000 }, async () => {
  const plain = await startRoom({ recovery: false });
  try {
    const recruiter = await plain.member('recruiter');
    let refusals = 0;
    plain.full = () => ++refusals <= 2;
    recruiter.state().socket.io.engine.close();
    await until('the second refusal', () => refusals === 2, 15_000);
    assert.equal(recruiter.state().phase, 'reconnecting');
    assert.equal(recruiter.state().error, 'the room is full');
    await until('the place', () => recruiter.state().phase === 'online', 15_000);
    assert.equal(refusals, 3);
    assert.equal(recruiter.state().error, null);
    plain.full = () => true;
    const stranger = await plain.member('candidate', { reach: 'refused' });
    assert.equal(stranger.state().error, 'the room is full');
    assert.deepEqual(stranger.state().connection, { state: 'failed', reason: 'refused' });
  } finally {
    await plain.close();
  }
});

test('after a break a relay is left to restart ICE first, a peer is not', { timeout: 30_000 }, async () => {
  for (const mode of ['relay', 'p2p']) {
    room.mode = mode;
    const recruiter = await room.member('recruiter');
    const candidate = await room.member('candidate');
    await until('the call', () => recruiter.connections[0]?.remoteDescription);
    const [connection] = recruiter.connections;
    connection.become('connected');
    connection.become('disconnected');
    recruiter.state().socket.io.engine.close();
    await until('the break', () => recruiter.state().phase === 'reconnecting');
    await until('the return', () => recruiter.state().phase === 'online', 15_000);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    assert.equal(connection.log.includes('restart'), mode === 'p2p');
    await until('the restart', () => connection.log.includes('restart'));
    recruiter.call.close();
    candidate.call.close();
  }
});
