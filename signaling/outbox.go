package signaling

import (
	"runtime/debug"

	"skillsage/signaling/socketio"
)

// parcel is one thing that a room has decided to do outside its lock: a message for a member's socket, or a call.
type parcel struct {
	to   *member
	msg  *socketio.Message
	call func()

	volatile bool // msg is dropped where it cannot go out at once
}

// post queues a message for a member; r.mu is held.
func (r *room) post(to *member, msg *socketio.Message) {
	r.queue = append(r.queue, parcel{to: to, msg: msg})
}

// postAll queues a message for everybody but one; r.mu is held.
func (r *room) postAll(except *member, msg *socketio.Message) {
	for _, m := range r.list {
		if m != except {
			r.post(m, msg)
		}
	}
}

// postVolatile queues a message that is worth nothing later: it is dropped if the member's socket is suspended or others
// wait for it already, so that news that come by the clock never fill the queue of a slow socket. r.mu is held.
func (r *room) postVolatile(to *member, msg *socketio.Message) {
	r.queue = append(r.queue, parcel{to: to, msg: msg, volatile: true})
}

// postCall queues a call (of the relay, of the recorder, of an acknowledgement) in its place among the messages; r.mu is held.
func (r *room) postCall(call func()) {
	r.queue = append(r.queue, parcel{call: call})
}

// deliverLocked hands out what is queued, and releases r.mu, which the caller holds.
//
// What the room decides under its lock must reach each socket, the relay and the recorder in the order of the decisions, and must
// be sent without the lock: a send may write to the network or end the socket, which comes back to the room, and these
// two may call back too. So one goroutine at a time hands out, and whoever finds another at it leaves its parcels
// to that one. No send and no call blocks, so neither does this.
func (r *room) deliverLocked() {
	if r.delivering {
		r.mu.Unlock()
		return
	}
	r.delivering = true
	for len(r.queue) > 0 {
		batch := r.queue
		r.queue = r.spare[:0]
		r.mu.Unlock()
		for i := range batch {
			if p := &batch[i]; p.call != nil {
				r.run(p.call)
			} else {
				p.to.send(p.msg, p.volatile)
			}
		}
		clear(batch)
		r.mu.Lock()
		r.spare = nil
		if cap(batch) <= maxSpareQueue {
			r.spare = batch
		}
	}
	r.delivering = false
	r.mu.Unlock()
}

// send sends a message unless the socket has gone on to another room: what this room still had for it would be taken for
// news of that one. The lock makes the change of rooms one moment for what the socket receives; a send never blocks.
func (m *member) send(msg *socketio.Message, volatile bool) {
	m.conn.mu.Lock()
	defer m.conn.mu.Unlock()
	switch {
	case m.moved:
	case volatile:
		m.conn.socket.SendVolatile(msg)
	default:
		m.conn.socket.Send(msg) // an error means that the socket has ended; its OnDisconnect tells the room
	}
}

// maxSpareQueue bounds the queue memory that a quiet room keeps, in parcels.
const maxSpareQueue = 128

// run keeps a panic in the relay or the recorder from leaving the room with nobody to hand out its messages.
func (r *room) run(call func()) {
	defer func() {
		if p := recover(); p != nil {
			r.server.stats.panics.Add(1)
			r.server.log.Error("call out of a room panicked", "room", r.id, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	call()
}
