package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"skillsage/signaling/engineio"
	"skillsage/signaling/socketio"
)

// protocolService is listener A: a bare Engine.IO echo server on /engine.io/, and
// the Socket.IO server of the protocol suite on /socket.io/. The suites depend on the timing.
func protocolService(log *slog.Logger) *service {
	engine := engineio.Options{
		PingInterval: 300 * time.Millisecond,
		PingTimeout:  200 * time.Millisecond,
		MaxPayload:   1_000_000,
		Logger:       log,
	}
	echo := engineio.NewServer(engine, func(session *engineio.Session) engineio.Receiver { return echoReceiver{session} })
	events := socketio.NewServer(socketio.Options{Engine: engine, ConnectTimeout: time.Second, Logger: log})
	for _, name := range []string{"/", "/custom"} {
		events.Of(name).OnConnect(func(s *socketio.Socket) {
			s.Emit("auth", s.Handshake().Auth)
			if name == "/" {
				answerMessages(s)
			}
		})
	}
	mux := http.NewServeMux()
	mux.Handle("/engine.io/", echo)
	mux.Handle("/socket.io/", events)
	return &service{http: httpServer(mux), close: []func(context.Context) error{echo.Close, events.Close}}
}

// answerMessages sends the arguments of an event back, attachments and all.
func answerMessages(s *socketio.Socket) {
	s.On("message", func(e *socketio.Event) {
		s.Send(socketio.EncodeBinary("message-back", e.Attachments, join(e.Args)))
	})
	s.On("message-with-ack", func(e *socketio.Event) {
		e.AckRaw(e.Attachments, join(e.Args))
	})
}

func join(args []json.RawMessage) []byte {
	var out []byte
	for i, arg := range args {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, arg...)
	}
	return out
}

// echoReceiver sends every message back as it came.
type echoReceiver struct{ session *engineio.Session }

func (r echoReceiver) Message(data []byte, binary bool) {
	if binary {
		r.session.Send(engineio.NewBinary(data))
	} else {
		r.session.Send(engineio.NewText(data))
	}
}

func (r echoReceiver) Closed(engineio.Reason) {}
