package turn

import (
	"bytes"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"
)

// Other servers with a shared secret make the same of a user name: they take what is made here.
func TestCredentialsAreThoseOfOthers(t *testing.T) {
	account := Account{URLs: []string{"turn:turn.example"}, Secret: "shared", TTL: time.Hour}
	server := account.For("member-1")
	if len(server.URLs) != 1 || !strings.HasSuffix(server.Username, ":member-1") {
		t.Fatalf("%+v", server)
	}
	theirs := pion.LongTermTURNRESTAuthHandler("shared", silence{slog.New(slog.DiscardHandler)})
	member, key, ok := theirs(&pion.RequestAttributes{Username: server.Username, Realm: "r", SrcAddr: &net.UDPAddr{}})
	if !ok || member != "member-1" || !bytes.Equal(key, pion.GenerateAuthKey(server.Username, "r", server.Credential)) {
		t.Errorf("%q %v", member, ok)
	}
}

// Who has credentials of a member gets in, and nobody else; the counters say why.
func TestCredentials(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		r := start(t, Options{Secret: "the-secret", Member: func(id string) (bool, bool) { return id != "gone", true }})
		if _, code := r.raw(transport, "here").allocate(); code != 0 {
			t.Fatalf("good ones: %d", code)
		}
		in := func(d time.Duration, member string) ICEServer {
			return Account{Secret: "the-secret", TTL: d}.For(member)
		}
		signed := func(username string) ICEServer {
			return ICEServer{Username: username, Credential: r.account.password(username)}
		}
		now := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
		other := in(time.Hour, "here")
		other.Username = in(time.Hour, "else").Username
		for name, c := range map[string]struct {
			account ICEServer
			reason  string
		}{
			"expired":             {in(-time.Second, "here"), "expired"},
			"long expired":        {signed("1:here"), "expired"},
			"of one who has left": {in(time.Hour, "gone"), "member"},
			"another password":    {ICEServer{Username: in(time.Hour, "here").Username, Credential: "guess"}, "credentials"},
			"another's password":  {other, "credentials"},
			"of another secret":   {Account{Secret: "another", TTL: time.Hour}.For("here"), "credentials"},
			"nobody":              {signed(now + ":"), "credentials"},
			"no member":           {signed(now), "credentials"},
			"no time":             {signed("here"), "credentials"},
			"odd time":            {signed("1e99:here"), "credentials"},
		} {
			before := r.Stats().Refused[c.reason]
			client := r.raw(transport, "")
			client.account = c.account
			if _, code := client.allocate(); code != 401 {
				t.Errorf("%s: %d", name, code)
			}
			if n := r.Stats().Refused[c.reason] - before; n != 1 {
				t.Errorf("%s: %d more refused for %s", name, n, c.reason)
			}
		}
		if s := r.Stats(); s.Allocations != 1 || s.AllocationsMade != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// An allocation outlives the credentials and the membership of its client, and no other member can touch it.
func TestAllocationOutlivesItsCredentials(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		gone := make(chan struct{})
		r := start(t, Options{CredentialTTL: time.Second, Member: func(id string) (bool, bool) {
			select {
			case <-gone:
				return false, false
			default:
				return true, true
			}
		}})
		client := r.raw(transport, "here")
		client.mustAllocate()
		thief := &raw{T: t, conn: client.conn, account: r.Account(nil).For("thief"), realm: client.realm, nonce: client.nonce}
		if answer := thief.request(silenceTime, stun.MethodRefresh, lifetime(0)); answer != nil && codeOf(answer) == 0 {
			t.Error("somebody else ended the allocation")
		}
		if answer := thief.request(silenceTime, stun.MethodCreatePermission, peer(r.media())); answer != nil && codeOf(answer) == 0 {
			t.Error("somebody else used the allocation")
		}
		close(gone)
		time.Sleep(2100 * time.Millisecond) // credentials end with a second
		if code, _ := client.do(stun.MethodRefresh); code != 0 {
			t.Errorf("refresh: %d", code)
		}
		if code, _ := client.do(stun.MethodCreatePermission, peer(r.media())); code != 0 {
			t.Errorf("permission: %d", code)
		}
		again := r.raw(transport, "")
		again.account = client.account
		if _, code := again.allocate(); code != 401 {
			t.Errorf("another allocation with the same credentials: %d", code)
		}
		if code, _ := client.do(stun.MethodRefresh, lifetime(0)); code != 0 || r.Stats().Allocations != 0 {
			t.Errorf("the end: %d, %d allocations", code, r.Stats().Allocations)
		}
	})
}

// Servers that share a secret take each other's credentials; those that don't, do not.
func TestServersShareASecret(t *testing.T) {
	a, b := start(t, Options{Secret: "shared"}), start(t, Options{Secret: "shared"})
	c, d := start(t, Options{}), start(t, Options{})
	for _, pair := range []struct {
		from, to *rig
		want     int
	}{{a, b, 0}, {a, c, 401}, {c, d, 401}} {
		client := pair.to.raw("udp", "")
		client.account = pair.from.Account(nil).For("member")
		if _, code := client.allocate(); code != pair.want {
			t.Errorf("%d, want %d", code, pair.want)
		}
	}
}
