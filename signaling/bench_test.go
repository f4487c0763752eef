package signaling

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"skillsage/signaling/socketio"
)

// benchSocket is a bare WebSocket that has joined a room: it costs the process as little as a client can, since its
// processor time is measured with the server's.
type benchSocket struct {
	conn *websocket.Conn
	id   string
}

func benchServer(b *testing.B, recovery time.Duration) (url string) {
	s := New(Options{
		Logger:   slog.New(slog.NewTextHandler(io.Discard, nil)),
		Limits:   Limits{EventRate: 1e9, EventBurst: 1e9},
		SocketIO: socketio.Options{Recovery: recovery},
	})
	ts := httptest.NewServer(s)
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			b.Error(err)
		}
		ts.Close()
	})
	return "ws" + strings.TrimPrefix(ts.URL, "http") + "/socket.io/?EIO=4&transport=websocket"
}

func benchJoin(b *testing.B, url, role string) *benchSocket {
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	s := &benchSocket{conn: conn}
	s.write(b, "40")
	s.write(b, `42["join-room",{"interviewId":"iv","userRole":"`+role+`"}]`)
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			b.Fatal(err)
		}
		if text := string(data); strings.HasPrefix(text, "40") {
			s.id = strings.Split(text, `"`)[3]
		} else if strings.HasPrefix(text, `42["code-state"`) {
			return s
		}
	}
}

func (s *benchSocket) write(b *testing.B, packet string) {
	if err := s.conn.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
		b.Fatal(err)
	}
}

// count reads and counts the events that start so.
func (s *benchSocket) count(event string, n *atomic.Int64) {
	prefix := []byte(`42["` + event)
	var head [64]byte
	for {
		_, r, err := s.conn.NextReader()
		if err != nil {
			return
		}
		got, _ := io.ReadFull(r, head[:])
		if got >= len(prefix) && string(head[:len(prefix)]) == string(prefix) {
			n.Add(1)
		}
	}
}

// benchForward sends b.N events from one socket, never more than a window ahead of its receivers, and reports the
// processor time of server and clients together.
func benchForward(b *testing.B, event, payload string, receivers ...*benchSocket) {
	const window = 256
	var received atomic.Int64
	for _, r := range receivers {
		go r.count(event, &received)
	}
	sender := receivers[0]
	packet, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte(`42["`+event+`",`+payload+`]`))
	if err != nil {
		b.Fatal(err)
	}
	others := int64(max(len(receivers)-1, 1))
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime()
	for sent := int64(0); sent < int64(b.N); sent++ {
		for sent*others-received.Load() > window*others {
			time.Sleep(50 * time.Microsecond)
		}
		if err := sender.conn.WritePreparedMessage(packet); err != nil {
			b.Fatal(err)
		}
	}
	for received.Load() < int64(b.N)*others {
		time.Sleep(50 * time.Microsecond)
	}
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const benchCandidate = `{"to":"%s","candidate":{"candidate":"candidate:3745641921 1 udp 2122260223 192.0.2.17 54321 typ host generation 0 ufrag aB3d network-id 1 network-cost 10","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"aB3d"},"isScreenShare":false}`

func BenchmarkForwardIceCandidate(b *testing.B) {
	for _, recovery := range []time.Duration{0, 5 * time.Second} {
		b.Run("recovery="+recovery.String(), func(b *testing.B) {
			url := benchServer(b, recovery)
			from, to := benchJoin(b, url, "candidate"), benchJoin(b, url, "recruiter")
			benchForward(b, "ice-candidate", fmt.Sprintf(benchCandidate, to.id), from, to)
		})
	}
}

func BenchmarkScreenShareStatus(b *testing.B) {
	for _, recovery := range []time.Duration{0, 5 * time.Second} {
		b.Run("recovery="+recovery.String(), func(b *testing.B) {
			url := benchServer(b, recovery)
			from := benchJoin(b, url, "candidate")
			benchForward(b, "screen-share-status", `{"interviewId":"iv","isSharing":true}`, from, benchJoin(b, url, "recruiter"), benchJoin(b, url, "recruiter"))
		})
	}
}

// BenchmarkDecodeIceCandidate is the part of forwarding that is this package's alone: checking the payload and copying
// it into a message for the addressee.
func BenchmarkDecodeIceCandidate(b *testing.B) {
	payload := []byte(fmt.Sprintf(benchCandidate, "aBcDeFgHiJkLmNoPqRsT"))
	limits := Limits{}.withDefaults()
	id := []byte(`"aBcDeFgHiJkLmNoPqRsT"`)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		e, why := parseCandidate(payload, &limits)
		if why != nil {
			b.Fatal(why.text)
		}
		socketio.EncodeRaw("ice-candidate", partFrom, id, partCandidate, e.candidate, partScreen(e.screen, e.flagged))
	}
}
