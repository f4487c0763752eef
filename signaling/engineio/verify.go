package engineio

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// maxQuery bounds the query string of a handshake, which a session keeps, in bytes.
const maxQuery = 8 << 10

// refusal is an answer to a request that can't be served.
type refusal struct {
	name    string // in Stats.Refused
	index   int    // of its counter
	status  int    // HTTP
	code    int    // of Engine.IO, in the body
	message string // in the body
}

// The error codes of Engine.IO.
const (
	codeTransportUnknown = iota
	codeSessionUnknown
	codeHandshakeMethod
	codeBadRequest
	codeForbidden
	codeProtocol
)

var refusals []*refusal

func newRefusal(name string, status, code int, message string) *refusal {
	r := &refusal{name, len(refusals), status, code, message}
	refusals = append(refusals, r)
	return r
}

var (
	refTransport       = newRefusal("unknown transport", http.StatusBadRequest, codeTransportUnknown, "Transport unknown")
	refOriginControls  = newRefusal("malformed origin", http.StatusBadRequest, codeBadRequest, "Bad request")
	refUnknownSession  = newRefusal("unknown session", http.StatusBadRequest, codeSessionUnknown, "Session ID unknown")
	refOtherTransport  = newRefusal("other transport", http.StatusBadRequest, codeBadRequest, "Bad request")
	refHandshakeMethod = newRefusal("handshake method", http.StatusBadRequest, codeHandshakeMethod, "Bad handshake method")
	refNoUpgrade       = newRefusal("no upgrade", http.StatusBadRequest, codeBadRequest, "Bad request")
	refHandshake       = newRefusal("websocket handshake", http.StatusBadRequest, codeBadRequest, "Bad request")
	refQuery           = newRefusal("query too long", http.StatusBadRequest, codeBadRequest, "Bad request: query string too long")
	refMethod          = newRefusal("method", http.StatusMethodNotAllowed, codeBadRequest, "Bad request: method not allowed")
	refForbidden       = newRefusal("forbidden", http.StatusForbidden, codeForbidden, "Forbidden")
	refOrigin          = newRefusal("origin", http.StatusForbidden, codeForbidden, "Origin not allowed")
	refProtocol        = newRefusal("protocol version", http.StatusBadRequest, codeProtocol, "Unsupported protocol version")
	refFull            = newRefusal("server full", http.StatusServiceUnavailable, codeForbidden, "Too many sessions")
	refAddressFull     = newRefusal("address full", http.StatusTooManyRequests, codeForbidden, "Too many sessions from this address")
	refClosing         = newRefusal("closing", http.StatusServiceUnavailable, codeForbidden, "Server is shutting down")
	refOverlap         = newRefusal("overlap", http.StatusBadRequest, codeBadRequest, "Bad request: overlapping requests of one session")
	refOctetStream     = newRefusal("content type", http.StatusBadRequest, codeBadRequest, "Bad request: application/octet-stream is not used in protocol version 4")
	refBadPacket       = newRefusal("bad packet", http.StatusBadRequest, codeBadRequest, "Bad request")
	refTooLarge        = newRefusal("payload too large", http.StatusRequestEntityTooLarge, codeBadRequest, "Payload too large")
	refBodyCut         = newRefusal("body cut short", http.StatusBadRequest, codeBadRequest, "Bad request: incomplete body")
)

// saying is the refusal with another message.
func (r *refusal) saying(message string) *refusal {
	other := *r
	other.message = message
	return &other
}

// because adds to the message what was wrong.
func (r *refusal) because(what string) *refusal { return r.saying(r.message + ": " + what) }

// refuse answers with a refusal.
func (s *Server) refuse(w http.ResponseWriter, r *refusal) {
	s.count.refused[r.index].Add(1)
	body, err := json.Marshal(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{r.code, r.message})
	if err != nil {
		panic(err) // a number and a string can be marshalled
	}
	writeBody(w, s.opts.WriteTimeout, r.status, contentJSON, body)
}

// queryValue finds the first value of key in a query string, without parsing all of it to a map.
func queryValue(query, key string) string {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		if name != key {
			continue
		}
		if strings.ContainsAny(value, "%+") {
			value, _ = url.QueryUnescape(value)
		}
		return value
	}
	return ""
}

// hasControls reports control characters, which may not stand in a header's value (RFC 9110, section 5.5).
func hasControls(value string) bool {
	for i := range len(value) {
		if b := value[i]; b < ' ' && b != '\t' || b == 0x7f {
			return true
		}
	}
	return false
}
