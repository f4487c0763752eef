package front

import (
	"encoding/binary"
	"testing"

	"github.com/pion/stun/v4"
)

// stunRequest is a binding request with attributes, as TURN clients send it over TCP.
func stunRequest(t testing.TB) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("server:client"), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// framed is a packet in the framing of RFC 4571.
func framed(packet []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
}

func clientHello() []byte {
	hello := append([]byte(nil), sslHello...)
	return append(hello, make([]byte, sslHelloLength-len(hello))...)
}

func TestSniff(t *testing.T) {
	request := stunRequest(t)
	old := append([]byte(nil), request...)
	copy(old[4:], "no cookie, as in RFC 3489")
	odd := append([]byte(nil), request...)
	odd[3]++
	for name, c := range map[string]struct {
		in   []byte
		want kind
	}{
		"GET":                      {[]byte("GET / HTTP/1.1\r\n"), kindHTTP},
		"one letter":               {[]byte("P"), kindHTTP},
		"TLS":                      {[]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, kindTLS},
		"STUN":                     {request, kindSTUN},
		"ICE":                      {framed(request), kindFramed},
		"imitation of SSL":         {clientHello(), kindFakeTLS},
		"another SSL 2 hello":      {[]byte{0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10}, unknown},
		"small letters":            {[]byte("get / HTTP"), unknown},
		"STUN without a cookie":    {old, unknown},
		"STUN of an odd length":    {odd, unknown},
		"frame of another length":  {framed(append(request, 0)), unknown},
		"RTP in a frame":           {framed([]byte{0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3}), unknown},
		"DTLS in a frame":          {framed(append([]byte{22, 0xfe, 0xfd, 0, 0}, make([]byte, 30)...)), unknown},
		"ChannelData":              {[]byte{0x40, 0, 0, 4, 1, 2, 3, 4, 5, 6}, unknown},
		"zeros":                    {make([]byte, 10), unknown},
		"SSH":                      {[]byte("ssh-2.0-x\r\n"), unknown},
		"the RDP scan":             {[]byte{3, 0, 0, 0x13, 0x0e, 0xe0, 0, 0, 0, 0}, unknown},
		"the beginning of a frame": {framed(request)[:9], undecided},
		"the beginning of STUN":    {request[:7], undecided},
		"nothing":                  {nil, undecided},
	} {
		if got := sniff(c.in); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// Ten bytes decide, what has been decided stays so with more of them, and nothing is taken for STUN that is not.
func FuzzSniff(f *testing.F) {
	for _, seed := range [][]byte{stunRequest(f), framed(stunRequest(f)), clientHello(), []byte("GET / HTTP/1.1"), {0x16, 3, 1}, {0, 0, 0, 0}, {0x80, 0x46, 1}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		decided := undecided
		for n := range len(b) + 1 {
			got := sniff(b[:n])
			if decided != undecided && got != decided {
				t.Fatalf("%x is %d, its beginning %d", b[:n], got, decided)
			}
			if decided = got; decided == undecided && n >= sniffLength {
				t.Fatalf("%x is not enough", b[:n])
			}
		}
		switch {
		case decided == kindSTUN && (!stun.IsMessage(append(b, make([]byte, 20)...)) || b[0] > 0x3f),
			decided == kindFramed && !stun.IsMessage(append(b[2:], make([]byte, 20)...)):
			t.Fatalf("%x is no STUN", b)
		case decided == kindFramed && int(binary.BigEndian.Uint16(b)) != 20+int(binary.BigEndian.Uint16(b[4:])):
			t.Fatalf("%x is not one message", b)
		}
	})
}
