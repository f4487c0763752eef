package engineio

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// byeLinger is how long a polling session that the client closed still answers one GET: the close
// packet may overtake a GET that was sent just before it on another connection.
const byeLinger = 250 * time.Millisecond

// noopDelay is how long a GET that comes during an upgrade waits before it is answered with a noop: the
// client's upgrade packet may be just behind it on another connection, and a client that polls in a
// loop is slowed down. A GET that was held when the probe came is answered at once.
const noopDelay = 25 * time.Millisecond

// poll is a GET that is held until there is something to answer.
type poll struct {
	ready chan struct{} // closed by wake
	woken bool          // guarded by the session's mu
	last  []byte        // the answer when the session has ended; guarded by the session's mu
}

// wake lets the GET, if there is one, be answered. Called with the session's mu held.
func (p *poll) wake() {
	if p != nil && !p.woken {
		p.woken = true
		close(p.ready)
	}
}

// openPolling answers a handshake over polling.
func (s *Server) openPolling(w http.ResponseWriter, r *http.Request) {
	session, refused := s.open(r)
	if refused != nil {
		s.refuse(w, refused)
		return
	}
	if !session.attach() {
		session.end(ReasonForcedClose, endBroken)
		session.drop()
		s.refuse(w, refForbidden)
		return
	}
	_, body, _ := nextFrame(s.openPacket(session, TransportPolling))
	writeBody(w, s.opts.WriteTimeout, http.StatusOK, contentText, body)
}

// serveGet answers with all that is queued, or holds the request until something is.
func (s *Session) serveGet(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	switch {
	case s.ended.Load():
		body := s.farewell
		s.farewell = nil
		s.setTimerLocked(phaseOver, 0)
		s.mu.Unlock()
		if body == nil {
			s.srv.refuse(w, refUnknownSession)
			return
		}
		s.srv.remove(s)
		writeBody(w, s.srv.opts.WriteTimeout, http.StatusOK, contentText, body)
		return
	case s.ws.Load() != nil:
		s.mu.Unlock()
		s.srv.refuse(w, refOtherTransport)
		return
	case s.poll != nil:
		s.mu.Unlock()
		s.end(ReasonTransportError, endBroken)
		s.srv.refuse(w, refOverlap)
		return
	}
	var p *poll
	if len(s.queue) == 0 {
		p = &poll{ready: make(chan struct{})}
		s.poll = p
		upgrading := s.probed
		s.mu.Unlock()
		if !s.hold(w, r, p, upgrading) {
			return
		}
		s.mu.Lock()
		if upgrading && s.ws.Load() != nil {
			s.poll = nil
			s.mu.Unlock()
			s.srv.refuse(w, refOtherTransport)
			return
		}
	}
	body := s.takePayloadLocked(p)
	s.mu.Unlock()
	writeBody(w, s.srv.opts.WriteTimeout, http.StatusOK, contentText, *body)
	putBuffer(body)
}

// hold waits until p is woken, or during an upgrade for noopDelay. It reports false when the client
// has gone meanwhile.
func (s *Session) hold(w http.ResponseWriter, r *http.Request, p *poll, upgrading bool) bool {
	// The server's own timeouts are made for requests that are answered at once.
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{})
	control.SetWriteDeadline(time.Time{})
	var noop <-chan time.Time
	if upgrading {
		noop = time.After(noopDelay)
	}
	select {
	case <-p.ready:
	case <-noop:
	case <-r.Context().Done():
	}
	if r.Context().Err() == nil {
		return true
	}
	// What would have been written now is lost, so the session can't go on.
	s.end(ReasonTransportError, endBroken)
	return false
}

// takePayloadLocked takes the answer for a GET: the session's last words, what is queued, or a noop. p is nil if
// it was not held. The caller must put the buffer back.
func (s *Session) takePayloadLocked(p *poll) *[]byte {
	body := getBuffer()
	*body = (*body)[:0]
	if s.poll == p {
		s.poll = nil
	}
	if p != nil && p.last != nil {
		*body = append(*body, p.last...)
		return body
	}
	for _, frames := range s.queue {
		*body = Packet{wire: frames}.appendPayload(*body)
	}
	s.queue, s.queued = nil, 0
	if len(*body) == 0 {
		*body = packetNoop.appendPayload(*body)
	}
	return body
}

// endPollingLocked decides what a polling session still answers. It returns how long to wait for a GET to fetch that.
func (s *Session) endPollingLocked(reason Reason, how ending) (linger time.Duration) {
	var last []byte
	switch how {
	case endGraceful:
		for _, frames := range s.queue {
			last = Packet{wire: frames}.appendPayload(last)
		}
		last, linger = packetClose.appendPayload(last), s.srv.opts.CloseLinger
		if reason == ReasonShutdown {
			linger = 0 // there will be nobody to answer
		}
	case endFarewell:
		last, linger = packetNoop.appendPayload(nil), byeLinger
	case endBroken:
		last = packetClose.appendPayload(nil)
	}
	s.queue, s.queued = nil, 0
	if s.poll != nil {
		s.poll.last = last
		s.poll.wake()
		return 0
	}
	if linger > 0 {
		s.farewell = last
	}
	return linger
}

// servePost acts on the packets of a payload.
func (s *Session) servePost(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	switch {
	case s.ended.Load():
		s.mu.Unlock()
		s.srv.refuse(w, refUnknownSession)
		return
	case s.ws.Load() != nil:
		s.mu.Unlock()
		s.srv.refuse(w, refOtherTransport)
		return
	case s.posting:
		s.mu.Unlock()
		s.end(ReasonTransportError, endBroken)
		s.srv.refuse(w, refOverlap)
		return
	}
	s.posting = true
	s.mu.Unlock()

	refused := s.receivePost(w, r)
	// Cleared before the answer is written: the client's next POST may be here before this returns.
	s.mu.Lock()
	s.posting = false
	s.mu.Unlock()
	if refused != nil {
		s.srv.refuse(w, refused)
		return
	}
	writeBody(w, s.srv.opts.WriteTimeout, http.StatusOK, contentHTML, bodyOK)
}

func (s *Session) receivePost(w http.ResponseWriter, r *http.Request) *refusal {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/octet-stream") {
		s.end(ReasonParseError, endBroken)
		return refOctetStream
	}
	buf := getBuffer()
	defer putBuffer(buf)
	if refused := s.readBody(w, r, buf); refused != nil {
		return refused
	}
	for payload, more := *buf, true; more && !s.ended.Load(); {
		var packet []byte
		packet, payload, more = splitPayload(payload)
		switch err := s.receiveText(packet); err {
		case nil:
		case errGoodbye:
			s.end(ReasonTransportClose, endFarewell)
		default:
			s.end(ReasonParseError, endBroken)
			return refBadPacket.because(err.Error())
		}
	}
	return nil
}

// readBody reads a POST body into buf.
func (s *Session) readBody(w http.ResponseWriter, r *http.Request, buf *[]byte) *refusal {
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(s.srv.opts.ReadTimeout))
	defer control.SetReadDeadline(time.Time{})
	limit := int64(s.srv.opts.MaxPayload)
	err := error(&http.MaxBytesError{Limit: limit})
	if r.ContentLength <= limit {
		// The declared length is not to be trusted: it is -1 for a chunked body.
		*buf, err = readAll(http.MaxBytesReader(w, r.Body, limit), (*buf)[:0])
	}
	if err == nil {
		return nil
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		w.Header().Set("Connection", "close")
		s.end(ReasonTooLarge, endBroken)
		return refTooLarge
	}
	s.end(ReasonTransportError, endBroken)
	return refBodyCut
}

// readAll is io.ReadAll into a buffer that is reused.
func readAll(r io.Reader, buf []byte) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// Header values, shared between all answers.
var (
	contentText  = []string{"text/plain; charset=UTF-8"}
	contentHTML  = []string{"text/html"}
	contentJSON  = []string{"application/json"}
	cacheNoStore = []string{"no-store"}
	bodyOK       = []byte("ok")
)

// writeBody writes a whole answer, within a deadline of its own.
func writeBody(w http.ResponseWriter, timeout time.Duration, status int, contentType []string, body []byte) {
	control := http.NewResponseController(w)
	control.SetWriteDeadline(time.Now().Add(timeout))
	h := w.Header()
	h["Content-Type"] = contentType
	h["Cache-Control"] = cacheNoStore
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body)
	// Flushed here so that the deadline does not outlive this request on a connection that is kept.
	control.Flush()
	control.SetWriteDeadline(time.Time{})
}
