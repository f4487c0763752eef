// The measure for the benchmark: a plain socket.io server that forwards the
// signaling events as a typical interview server does.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { cors: { origin: "*" } });
const rooms = new Map(); // interviewId -> Map(userId -> userRole)

io.on("connection", (socket) => {
  let joined;

  socket.on("join-room", ({ interviewId, userRole }) => {
    joined = interviewId;
    socket.join(interviewId);
    if (!rooms.has(interviewId)) rooms.set(interviewId, new Map());
    const room = rooms.get(interviewId);
    room.set(socket.id, { userRole });
    socket.to(interviewId).emit("user-joined", { userId: socket.id, userRole });
    socket.emit("room-users", Object.fromEntries(room));
    socket.emit("chat-history", []);
    socket.emit("code-state", { codeUpdates: {}, currentQuestionIndex: 0 });
  });

  socket.on("signal", ({ to, signal, type, isScreenShare }) => {
    io.to(to).emit("signal", { from: socket.id, signal, type, isScreenShare });
  });

  socket.on("ice-candidate", ({ to, candidate, isScreenShare }) => {
    io.to(to).emit("ice-candidate", { from: socket.id, candidate, isScreenShare });
  });

  socket.on("screen-share-status", ({ interviewId, isSharing }) => {
    socket.to(interviewId).emit("screen-share-status", { userId: socket.id, isSharing });
  });

  socket.on("disconnect", () => {
    const room = rooms.get(joined);
    if (!room) return;
    room.delete(socket.id);
    if (room.size === 0) rooms.delete(joined);
    socket.to(joined).emit("user-left", { userId: socket.id });
  });
});

http.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("ready"));
