package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"skillsage/signaling/engineio"
	"skillsage/signaling/socketio"
)

// clientService is listener B, the counterpart of socket.io-client's own tests.
func clientService(log *slog.Logger) *service {
	server := socketio.NewServer(socketio.Options{
		Engine: engineio.Options{
			PingInterval: 2 * time.Second,
			MaxPayload:   1_000_000,
			AllowRequest: func(r *http.Request) error {
				select { // one of the tests wants a handshake that takes a moment
				case <-time.After(10 * time.Millisecond):
				case <-r.Context().Done():
				}
				return nil
			},
			Logger: log,
		},
		Recovery:          2 * time.Minute,
		RecoverAfterClose: true, // the recovery test closes its transport by hand
		Logger:            log,
	})
	for _, name := range []string{"/timeout_socket", "/valid", "/asd"} {
		server.Of(name)
	}
	server.Of("/no").Use(func(*socketio.Socket) error { return &socketio.ConnectError{Message: "Auth failed (custom namespace)"} })
	server.Of("/foo").OnConnect(answerID)
	server.Of("/abc").OnConnect(func(s *socketio.Socket) { s.Emit("handshake", describe(s)) })
	root := server.Of("/")
	root.Use(func(s *socketio.Socket) error {
		if s.Handshake().Query().Get("fail") != "" {
			return &socketio.ConnectError{Message: "Auth failed (main namespace)"}
		}
		return nil
	})
	root.OnConnect(answerID)
	root.OnConnect(answerTexts)
	root.OnConnect(answerBinary)
	return &service{http: httpServer(server), close: []func(context.Context) error{server.Close}}
}

// handshake is what the client's tests look at.
type handshake struct {
	Query map[string]string `json:"query"`
	Auth  json.RawMessage   `json:"auth"`
}

func describe(s *socketio.Socket) handshake {
	return handshake{Query: first(s.Handshake().Query()), Auth: s.Handshake().Auth}
}

func first(values url.Values) map[string]string {
	out := make(map[string]string, len(values))
	for name := range values {
		out[name] = values.Get(name)
	}
	return out
}

func answerID(s *socketio.Socket) {
	s.On("getId", func(e *socketio.Event) { e.Ack(s.ID()) })
}

func answerTexts(s *socketio.Socket) {
	now := func() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z") }
	s.On("hi", func(*socketio.Event) { s.Emit("hi") })
	s.On("echo", func(e *socketio.Event) {
		if len(e.Args) > 0 {
			e.AckRaw(e.Attachments, e.Args[0])
		} else {
			e.Ack()
		}
	})
	s.On("ack", func(*socketio.Event) {
		s.EmitWithAck(0, "ack", nil, func(args []json.RawMessage, err error) {
			var answer struct{ Test bool }
			if err == nil && len(args) == 2 && string(args[0]) == "5" && json.Unmarshal(args[1], &answer) == nil && answer.Test {
				s.Emit("got it")
			}
		})
	})
	s.On("getAckDate", func(e *socketio.Event) { e.Ack(now()) })
	s.On("getDate", func(*socketio.Event) { s.Emit("takeDate", now()) })
	s.On("getDateObj", func(*socketio.Event) { s.Emit("takeDateObj", map[string]string{"date": now()}) })
	s.On("getUtf8", func(*socketio.Event) {
		for _, text := range []string{"てすと", "Я Б Г Д Ж Й", "Ä ä Ü ü ß", "utf8 — string", "utf8 — string"} {
			s.Emit("takeUtf8", text)
		}
	})
	s.On("false", func(*socketio.Event) { s.Emit("false", false) })
	s.On("getHandshake", func(e *socketio.Event) { e.Ack(describe(s)) })
}

func answerBinary(s *socketio.Socket) {
	s.On("doge", func(*socketio.Event) { s.Emit("doge", []byte("asdfasdf")) })
	s.On("getbin", func(*socketio.Event) { s.Emit("takebin", []byte("asdfasdf")) })
	s.On("buffa", func(e *socketio.Event) {
		if e.Binary(0) != nil {
			s.Emit("buffack")
		}
	})
	s.On("jsonbuff", func(e *socketio.Event) { mixed(e, "jsonbuff-ack") })
	s.On("jsonblob", func(e *socketio.Event) { mixed(e, "jsonblob-ack") })
	s.On("blob", func(e *socketio.Event) {
		if e.Binary(0) != nil {
			s.Emit("back")
		}
	})
	var buffer, blob, second bool
	s.On("abuff1", func(e *socketio.Event) { buffer = e.Binary(0) != nil })
	s.On("abuff2", func(*socketio.Event) {
		if buffer {
			s.Emit("abuff2-ack")
		}
	})
	s.On("blob1", func(e *socketio.Event) { blob = e.Binary(0) != nil })
	s.On("blob2", func(e *socketio.Event) { second = len(e.Args) == 1 && string(e.Args[0]) == `"second"` })
	s.On("blob3", func(e *socketio.Event) {
		if blob && second && e.Binary(0) != nil {
			s.Emit("blob3-ack")
		}
	})
}

// mixed answers when the first argument is {hello: "lol", message: binary, goodbye: "gotcha"}.
func mixed(e *socketio.Event, answer string) {
	var arg struct {
		Hello   string
		Message struct {
			Placeholder bool `json:"_placeholder"`
		}
		Goodbye string
	}
	if len(e.Args) == 1 && len(e.Attachments) == 1 && json.Unmarshal(e.Args[0], &arg) == nil &&
		arg.Hello == "lol" && arg.Message.Placeholder && arg.Goodbye == "gotcha" {
		e.Socket().Emit(answer)
	}
}
