package turn

import (
	"crypto/hmac"
	"crypto/sha1" // what TURN servers with a shared secret agree on
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Account is what it takes to let people use a TURN server, this one or another with the same secret (coturn's
// use-auth-secret): credentials that end by themselves, of which the server need not be told
// (draft-uberti-behave-turn-rest-00).
type Account struct {
	URLs   []string // RFC 7065
	Secret string
	TTL    time.Duration
}

// ICEServer is the RTCIceServer of W3C's webrtc-pc, section 4.2.5.
type ICEServer struct {
	URLs       []string
	Username   string
	Credential string
}

// For makes credentials for a member; none if there is no secret, as for STUN servers.
func (a Account) For(member string) ICEServer {
	if a.Secret == "" {
		return ICEServer{URLs: a.URLs}
	}
	username := strconv.FormatInt(time.Now().Add(a.TTL).Unix(), 10) + ":" + member
	return ICEServer{URLs: a.URLs, Username: username, Credential: a.password(username)}
}

func (a Account) password(username string) string {
	mac := hmac.New(sha1.New, []byte(a.Secret))
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// parseUsername takes a user name apart; nothing has shown yet that it is the server's own.
func parseUsername(username string) (expiry time.Time, member string, ok bool) {
	seconds, member, ok := strings.Cut(username, ":")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	return time.Unix(unix, 0), member, ok && err == nil && member != ""
}

// Account is the server's own, for clients that reach it at urls.
func (s *Server) Account(urls []string) Account {
	account := s.account
	account.URLs = urls
	return account
}
