import { createServer } from 'node:http';
import { io as connect } from 'socket.io-client';
import { Server } from 'socket.io';
import { Call, LocalMedia, ScreenCapture } from '../dist/index.js';
import { FakeConnection } from './fake-media.mjs';

/** A plain socket.io server that passes the events of a room on, and keeps what went through it. */
export async function startRoom({ recovery = true } = {}) {
  const http = createServer((request, response) => (room.reachable ? response.end() : request.destroy()));
  const io = new Server(http, recovery ? { connectionStateRecovery: {} } : {});
  const users = {};
  /** `full` tells whether a join is refused, `mode` is what joins are told, `reachable` whether HTTP is answered. */
  const room = { full: () => false, mode: undefined, reachable: true };
  const seen = [];
  io.on('connection', (socket) => {
    if (!socket.recovered) socket.onAny((event, data) => seen.push({ event, from: socket.id, ...data }));
    socket.on('join-room', ({ interviewId, userRole }, acknowledge) => {
      if (room.full()) {
        const refusal = { ok: false, code: 'room-full', message: 'the room is full' };
        socket.emit('join-error', refusal);
        acknowledge?.(refusal);
        return;
      }
      users[socket.id] = { userRole };
      socket.join(interviewId);
      socket.to(interviewId).emit('user-joined', { userId: socket.id, userRole });
      socket.emit('room-users', users);
      acknowledge?.({ ok: true, mode: room.mode });
    });
    for (const event of ['signal', 'ice-candidate']) {
      socket.on(event, ({ to, ...data }) => io.to(to).emit(event, { ...data, from: socket.id }));
    }
    for (const event of ['screen-share-status', 'code-update', 'chat-message']) {
      socket.on(event, ({ interviewId, ...data }) => {
        const to = event === 'screen-share-status' ? socket.to(interviewId) : io.to(interviewId);
        to.emit(event, { ...data, userId: socket.id, sender: data.userRole, id: seen.length });
      });
    }
    socket.on('disconnect', () => {
      delete users[socket.id];
      io.emit('user-left', { userId: socket.id });
    });
  });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${http.address().port}`;
  const ends = [];
  return Object.assign(room, {
    url,
    io,
    seen,
    of: (event, from) => seen.filter((item) => item.event === event && (!from || item.from === from)),
    /** A member with the engine under test; its connections are in `connections`. */
    async member(userRole, { start = true, reach = 'online', ...options } = {}) {
      const media = new LocalMedia();
      const connections = [];
      const call = new Call({
        interviewId: 'iv',
        userRole,
        url,
        media,
        screen: new ScreenCapture(),
        createConnection: () => {
          const connection = new FakeConnection();
          connections.push(connection);
          return connection;
        },
        ...options,
      });
      ends.push(() => {
        call.close();
        media.stop();
      });
      if (start) await media.start();
      call.start();
      await until(`being ${reach}`, () => call.store.getSnapshot().phase === reach);
      return { call, media, connections, state: () => call.store.getSnapshot(), id: call.store.getSnapshot().selfId };
    },
    /** A member that is nothing but a socket, for a test to speak through. */
    async socket(userRole) {
      const socket = connect(url, { forceNew: true });
      const got = [];
      socket.onAny((event, data) => got.push({ event, ...data }));
      ends.push(() => socket.disconnect());
      await new Promise((resolve) => socket.on('connect', resolve));
      socket.emit('join-room', { interviewId: 'iv', userRole });
      await until('room-users', () => got.some(({ event }) => event === 'room-users'));
      return { socket, id: socket.id, got, of: (event) => got.filter((item) => item.event === event) };
    },
    async close() {
      for (const end of ends) end();
      await io.close();
    },
  });
}

/** Polls until `check` holds. */
export async function until(what, check, timeout = 10_000) {
  const end = Date.now() + timeout;
  while (!check()) {
    if (Date.now() > end) throw new Error(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** An offer or answer such as a foreign client sends. */
export function sdp({ name = 'far', ufrag = name, media = ['audio', 'video'], direction = 'sendrecv' } = {}) {
  const lines = ['v=0', `a=fingerprint:sha-256 ${name}`];
  media.forEach((kind, mid) => {
    lines.push(`m=${kind} 9 UDP/TLS/RTP/SAVPF 96`, `a=mid:${mid}`, `a=${direction}`, `a=msid:${name}`, `a=ice-ufrag:${ufrag}`);
  });
  return `${lines.join('\r\n')}\r\n`;
}
