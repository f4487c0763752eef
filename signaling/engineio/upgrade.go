package engineio

import (
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// openProbe serves a WebSocket that wants to take over from polling.
func (s *Server) openProbe(w http.ResponseWriter, r *http.Request, session *Session) {
	if !s.track() {
		s.refuse(w, refClosing)
		return
	}
	ws, c, err := s.upgrade(w, r)
	if err != nil {
		s.wg.Done()
		return
	}
	c.probing = true
	c.Conn.SetReadDeadline(time.Now().Add(s.opts.UpgradeTimeout))
	c.uncork()
	go session.readProbe(ws, c)
}

// readProbe is the reader goroutine of a WebSocket that wants to take over. If it fails, only it is
// closed; the session goes on with polling.
func (s *Session) readProbe(ws *websocket.Conn, c *conn) {
	if s.beginProbe(c) && s.takeOver(ws, c) {
		s.readWebSocket(ws, c)
		return
	}
	defer s.srv.wg.Done()
	s.srv.count.probesFailed.Add(1)
	s.endProbe(c)
	c.sendClose(websocket.CloseNormalClosure, "")
	c.release()
}

// beginProbe makes c the one that may take over. It reports false if there is another, or it is too late.
func (s *Session) beginProbe(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended.Load() || s.ws.Load() != nil || s.probe != nil {
		return false
	}
	s.probe = c
	return true
}

// endProbe lets polling go on, and another attempt be made.
func (s *Session) endProbe(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probe == c {
		s.probe, s.probed = nil, false
	}
}

// takeOver talks to the probing client until it asks for the switch.
func (s *Session) takeOver(ws *websocket.Conn, c *conn) bool {
	for {
		kind, data, err := ws.ReadMessage()
		if err != nil || kind != websocket.TextMessage {
			return false
		}
		switch string(data) {
		case "2probe":
			if !s.answerProbe(c) {
				return false
			}
		case string(typeUpgrade):
			return s.completeUpgrade(c)
		default:
			return false
		}
	}
}

// answerProbe answers 3probe, then starts to flush polling: the GET that is held, and every one that
// comes until the upgrade is complete, is answered at once. One noop alone could reach the client before 3probe
// does; it would poll again, and wait there until the next packet.
func (s *Session) answerProbe(c *conn) bool {
	if c.send(packetProbe.wire) != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probe != c {
		return false
	}
	s.probed = true
	s.poll.wake()
	return true
}

// completeUpgrade makes c the session's transport. What is queued moves to it before anything else can be sent
// there, so nothing is lost, doubled or overtaken.
func (s *Session) completeUpgrade(c *conn) bool {
	c.probing = false
	c.Conn.SetReadDeadline(time.Time{})
	s.mu.Lock()
	if s.probe != c {
		s.mu.Unlock()
		return false
	}
	flush := c.adopt(s.queue, s.queued)
	s.queue, s.queued = nil, 0
	s.probe, s.probed = nil, false
	s.ws.Store(c)
	s.poll.wake() // it gets a noop
	s.mu.Unlock()
	s.srv.count.polling.Add(-1)
	s.srv.count.upgrades.Add(1)
	if flush {
		c.uncork()
	}
	return true
}
