import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server } from 'socket.io';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
/** What a strict server sends along with the page. */
const POLICY = "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'";

/**
 * The room page behind a plain socket.io server that only passes events on: calls go from browser
 * to browser. Returns its address, the Socket.IO server and how to end it.
 */
export async function startStockServer() {
  const http = createServer((request, response) => {
    const path = normalize(new URL(request.url, 'http://localhost').pathname);
    const file = join(DIST, path === '/' ? 'index.html' : path);
    if (!file.startsWith(DIST) || !existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'text/plain', 'content-security-policy': POLICY });
    createReadStream(file).pipe(response);
  });
  const io = new Server(http, { connectionStateRecovery: { maxDisconnectionDuration: 10_000 } });
  const rooms = new Map();
  io.on('connection', (socket) => serve(io, socket, rooms));
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://localhost:${http.address().port}/`,
    io,
    close: () => io.close(),
  };
}

function serve(io, socket, rooms) {
  const say = (id, event, data) => io.to(id).emit(event, { ...data, timestamp: new Date().toISOString() });
  socket.on('join-room', ({ interviewId, userRole }) => {
    const room = rooms.get(interviewId) ?? { users: {}, messages: [], codeUpdates: {}, currentQuestionIndex: 0 };
    rooms.set(interviewId, room);
    room.users[socket.id] = { userRole };
    socket.join(interviewId);
    socket.data.room = interviewId;
    socket.data.role = userRole;
    socket.to(interviewId).emit('user-joined', { userId: socket.id, userRole });
    socket.emit('room-users', room.users);
    socket.emit('chat-history', room.messages);
    socket.emit('code-state', { codeUpdates: room.codeUpdates, currentQuestionIndex: room.currentQuestionIndex });
  });
  for (const event of ['signal', 'ice-candidate']) {
    socket.on(event, ({ to, ...data }) => io.to(to).emit(event, { ...data, from: socket.id }));
  }
  socket.on('screen-share-status', ({ interviewId, isSharing }) => {
    socket.to(interviewId).emit('screen-share-status', { userId: socket.id, isSharing });
  });
  socket.on('chat-message', ({ interviewId, content, userRole }) => {
    const message = { id: Date.now() + Math.random(), content, sender: userRole, timestamp: new Date().toISOString() };
    rooms.get(interviewId)?.messages.push(message);
    io.to(interviewId).emit('chat-message', { ...message, isOwn: false });
  });
  socket.on('code-update', ({ interviewId, questionId, ...update }) => {
    const room = rooms.get(interviewId);
    if (room) room.codeUpdates[questionId] = update;
    say(interviewId, 'code-update', { questionId, ...update });
  });
  socket.on('language-change', ({ interviewId, ...change }) => say(interviewId, 'language-change', change));
  socket.on('question-change', ({ interviewId, ...change }) => {
    const room = rooms.get(interviewId);
    if (room) room.currentQuestionIndex = change.currentQuestionIndex;
    say(interviewId, 'question-change', change);
  });
  socket.on('disconnect', () => {
    const room = rooms.get(socket.data.room);
    if (!room) return;
    delete room.users[socket.id];
    socket.to(socket.data.room).emit('user-left', { userId: socket.id });
    if (Object.keys(room.users).length === 0) rooms.delete(socket.data.room);
  });
}
