package socketio

import (
	"encoding/json"
	"strconv"
	"time"
)

// Reply is a client's acknowledgement. Args and Attachments may be kept.
type Reply struct {
	Args        []json.RawMessage
	Attachments [][]byte // {"_placeholder":true,"num":i} in Args stands for Attachments[i]
}

// pendingAck waits for a client's acknowledgement.
type pendingAck struct {
	done  func(*Reply, error)
	timer *time.Timer
}

// EmitWithAck sends an event and calls done exactly once, like a handler of the
// socket: with the client's answer, or with [ErrAckTimeout] after the timeout (0
// means Options.AckTimeout), or with [ErrDisconnected] if the connection ends
// before. Such an event is not kept for a client that is away. An error that is
// returned has not been and will not be given to done.
func (s *Socket) EmitWithAck(timeout time.Duration, event string, args []any, done func(args []json.RawMessage, err error)) error {
	return s.EmitWithReply(timeout, event, args, func(reply *Reply, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		done(reply.Args, nil)
	})
}

// EmitWithReply is EmitWithAck for answers that may hold binary attachments.
func (s *Socket) EmitWithReply(timeout time.Duration, event string, args []any, done func(*Reply, error)) error {
	m, err := Encode(event, args...)
	if err != nil {
		return err
	}
	if timeout <= 0 {
		timeout = s.ns.server.opts.AckTimeout
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == stateConnecting:
		return ErrNotConnected
	case s.state != stateConnected:
		return ErrDisconnected
	case len(s.acks) >= s.ns.server.opts.MaxPendingAcks:
		return ErrTooManyAcks
	}
	id := s.nextAck
	if err := ended(s.conn.session.Send(m.packet(s.ns.name, strconv.FormatUint(id, 10), nil))); err != nil {
		return err
	}
	s.nextAck++
	s.ns.server.stats.eventsOut.Add(1)
	if s.acks == nil {
		s.acks = make(map[uint64]*pendingAck)
	}
	s.acks[id] = &pendingAck{done: done, timer: time.AfterFunc(timeout, func() { s.ackTimeout(id) })}
	return nil
}

// takeAck: who takes it calls it.
func (s *Socket) takeAck(id uint64) *pendingAck {
	ack := s.acks[id]
	delete(s.acks, id)
	return ack
}

// onAck takes a client's answer. Unknown and repeated ids are no error: a late
// answer is normal. Within exec.
func (s *Socket) onAck(id uint64, reply *Reply) {
	s.mu.Lock()
	ack := s.takeAck(id)
	s.mu.Unlock()
	if ack == nil {
		s.ns.server.stats.acksLate.Add(1)
		return
	}
	ack.timer.Stop()
	s.ns.server.stats.acksIn.Add(1)
	for i, raw := range reply.Args {
		reply.Args[i] = append(json.RawMessage(nil), raw...)
	}
	s.protect(func() { ack.done(reply, nil) })
}

func (s *Socket) ackTimeout(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conn
	if c == nil {
		return // failAcks has it
	}
	ack := s.takeAck(id)
	if ack == nil {
		return
	}
	s.ns.server.stats.ackTimeouts.Add(1)
	c.exec.post(func() { s.protect(func() { ack.done(nil, ErrAckTimeout) }) })
}

// failAcks ends the wait for all acknowledgements; it runs in its turn among the handlers.
func (s *Socket) failAcks() {
	s.mu.Lock()
	acks := s.acks
	s.acks = nil
	s.mu.Unlock()
	for _, ack := range acks {
		ack.timer.Stop()
		s.protect(func() { ack.done(nil, ErrDisconnected) })
	}
}
