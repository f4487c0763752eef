package engineio

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
)

// readBufferSize is each WebSocket's read buffer in bytes: a few short messages. Longer ones are read around it.
const readBufferSize = 1 << 10

func (s *Server) newUpgrader() websocket.Upgrader {
	return websocket.Upgrader{
		ReadBufferSize: readBufferSize,
		// Never used, as nothing is written through gorilla; without it each connection had a buffer.
		WriteBufferPool: new(sync.Pool),
		CheckOrigin:     func(*http.Request) bool { return true }, // originAllowed has decided
		Error: func(w http.ResponseWriter, _ *http.Request, _ int, err error) {
			s.refuse(w, refHandshake.because(err.Error()))
		},
	}
}

// hijacker gives gorilla/websocket our conn in place of the server's.
type hijacker struct {
	http.ResponseWriter
	srv  *Server
	conn *conn
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = newConn(h.srv, nc)
	return h.conn, rw, nil
}

// upgrade makes the handshake. The answer waits in the conn, corked. On an error the client has been answered.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) (*websocket.Conn, *conn, error) {
	h := &hijacker{ResponseWriter: w, srv: s}
	ws, err := s.upgrader.Upgrade(h, r, nil)
	if err != nil {
		return nil, nil, err
	}
	ws.SetReadLimit(int64(s.opts.MaxPayload))
	ws.SetPingHandler(h.conn.pong)
	ws.SetCloseHandler(h.conn.peerClosed)
	return ws, h.conn, nil
}

// openWebSocket serves a handshake over WebSocket. It returns at once, which frees what the HTTP server
// held for the request; a fresh goroutine reads.
func (s *Server) openWebSocket(w http.ResponseWriter, r *http.Request) {
	session, refused := s.open(r)
	if refused != nil {
		s.refuse(w, refused)
		return
	}
	ws, c, err := s.upgrade(w, r)
	if err != nil {
		session.abandon()
		return
	}
	if !s.track() {
		session.abandon()
		c.cut(ReasonShutdown)
		return
	}
	session.mu.Lock()
	if session.ended.Load() {
		session.mu.Unlock()
		c.cut(ReasonShutdown)
		s.wg.Done()
		return
	}
	c.send(s.openPacket(session, TransportWebSocket))
	session.ws.Store(c)
	session.mu.Unlock()
	s.count.polling.Add(-1)
	if !session.attach() {
		session.end(ReasonForcedClose, endGraceful)
	}
	c.uncork()
	go session.readWebSocket(ws, c)
}

// readWebSocket is the reader goroutine of a session's WebSocket.
func (s *Session) readWebSocket(ws *websocket.Conn, c *conn) {
	defer s.srv.wg.Done()
	s.end(s.receive(ws, c), endRead)
	c.release()
	s.srv.remove(s)
}

// receive acts on messages until the connection ends, or must, and says why. When the session has been
// ended by this side it goes on reading, for the peer's close frame.
func (s *Session) receive(ws *websocket.Conn, c *conn) Reason {
	for {
		kind, r, err := ws.NextReader()
		if err != nil {
			return c.failure(err)
		}
		c.beginMessage()
		buf := getBuffer()
		*buf, err = readAll(r, (*buf)[:0])
		c.endMessage()
		if err != nil {
			putBuffer(buf)
			return c.failure(err)
		}
		if kind == websocket.BinaryMessage {
			s.heard()
			s.deliver(*buf, true)
		} else {
			err = s.receiveText(*buf)
		}
		putBuffer(buf)
		switch err {
		case nil:
		case errGoodbye:
			s.end(ReasonTransportClose, endFarewell)
		case errNotUTF8:
			c.sendClose(websocket.CloseInvalidFramePayloadData, err.Error())
			return ReasonParseError
		default:
			c.sendClose(websocket.CloseProtocolError, err.Error())
			return ReasonParseError
		}
	}
}

// failure says why reading ended.
func (c *conn) failure(err error) Reason {
	if c.goodbye {
		return ReasonTransportClose
	}
	if errors.Is(err, websocket.ErrReadLimit) {
		return ReasonTooLarge
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != "" {
		return c.cause
	}
	return ReasonTransportError
}
