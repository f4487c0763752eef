package engineio

import (
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// candidate has the size of a typical ice-candidate event.
var candidate = `42["ice-candidate",{"to":"0123456789abcdefghij","candidate":{"candidate":"candidate:842163049 1 udp 1677729535 203.0.113.77 46154 typ srflx raddr 192.0.2.10 rport 46154 generation 0 ufrag EEtu network-id 1","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"EEtu"}}]`

type benchReceiver func(data []byte)

func (r benchReceiver) Message(data []byte, _ bool) { r(data) }
func (benchReceiver) Closed(Reason)                 {}

func benchServer(b *testing.B, handler Handler) (*Server, string) {
	srv := NewServer(Options{}, handler)
	ts := httptest.NewServer(srv)
	b.Cleanup(func() { srv.Close(b.Context()); ts.CloseClientConnections(); ts.Close() })
	return srv, "ws" + strings.TrimPrefix(ts.URL, "http") + "/engine.io/?EIO=4&transport=websocket"
}

func benchDial(b *testing.B, url string) *websocket.Conn {
	ws, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ws.Close() })
	if _, _, err := ws.ReadMessage(); err != nil {
		b.Fatal(err)
	}
	return ws
}

// BenchmarkForward forwards one message from one WebSocket to another, one at a time as signaling is: both clients
// are in the figures.
func BenchmarkForward(b *testing.B) {
	var mu sync.Mutex
	var sessions []*Session
	_, url := benchServer(b, func(s *Session) Receiver {
		mu.Lock()
		defer mu.Unlock()
		sessions = append(sessions, s)
		return benchReceiver(func(data []byte) { sessions[1].Send(NewText(data)) })
	})
	from, to := benchDial(b, url), benchDial(b, url)
	frame := maskedFrame("4" + candidate)
	in := make([]byte, len(candidate)+5)
	b.ReportAllocs()
	b.SetBytes(int64(len(candidate)))
	for b.Loop() {
		from.NetConn().Write(frame)
		if _, err := io.ReadFull(to.NetConn(), in); err != nil {
			b.Fatal(err)
		}
	}
}

// maskedFrame makes a client's text frame with a zero key, which costs the client nothing.
func maskedFrame(text string) []byte {
	return append([]byte{0x81, 0x80 | 126, byte(len(text) >> 8), byte(len(text)), 0, 0, 0, 0}, text...)
}

// BenchmarkBroadcast sends one packet, encoded once, to 16 WebSockets.
func BenchmarkBroadcast(b *testing.B) {
	var mu sync.Mutex
	var sessions []*Session
	_, url := benchServer(b, func(s *Session) Receiver {
		mu.Lock()
		defer mu.Unlock()
		sessions = append(sessions, s)
		return benchReceiver(func([]byte) {})
	})
	for range 16 {
		ws := benchDial(b, url)
		go io.Copy(io.Discard, ws.NetConn())
	}
	text := []byte(candidate)
	b.ReportAllocs()
	for b.Loop() {
		p := NewText(text)
		for _, s := range sessions {
			for s.Send(p) != nil {
				b.Fatal("a reader was too slow")
			}
		}
	}
}

// BenchmarkReceive acts on a message without a network: decoding, checks, dispatch.
func BenchmarkReceive(b *testing.B) {
	s := &Session{srv: NewServer(Options{}, nil), id: "benchmark", receiver: benchReceiver(func([]byte) {})}
	packet := []byte("4" + candidate)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.receiveText(packet); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen opens and closes WebSocket sessions; the client is in the figures.
func BenchmarkOpen(b *testing.B) {
	_, url := benchServer(b, func(*Session) Receiver { return benchReceiver(func([]byte) {}) })
	b.ReportAllocs()
	for b.Loop() {
		ws, _, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			b.Fatal(err)
		}
		ws.Close()
	}
}

// BenchmarkIdleWebSocket reports the memory of an idle session over WebSocket, without the client: the clients
// are bare sockets that have no goroutine.
func BenchmarkIdleWebSocket(b *testing.B) {
	srv, url := benchServer(b, func(*Session) Receiver { return benchReceiver(func([]byte) {}) })
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "ws://"), "/")
	const n = 1000
	request := fmt.Sprintf("GET /%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nOrigin: https://app.example\r\n\r\n", path, host)
	conns := make([]net.Conn, 0, n)
	measure := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	dial := func(count int) {
		for range count {
			c, err := net.Dial("tcp", host)
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, c)
			io.WriteString(c, request)
			if _, err := c.Read(make([]byte, 1)); err != nil {
				b.Fatal(err)
			}
		}
	}
	var server, client uint64
	for b.Loop() {
		dial(100) // warm
		before := measure()
		dial(n)
		for srv.Stats().Sessions < int64(len(conns)) {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(200 * time.Millisecond)
		server += measure() - before
		// What the clients' ends of the sockets take in this process.
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		before = measure()
		bare := make([]net.Conn, n)
		for i := range bare {
			if bare[i], err = net.Dial("tcp", listener.Addr().String()); err != nil {
				b.Fatal(err)
			}
			accepted, _ := listener.Accept()
			accepted.Close()
		}
		client += measure() - before
		for _, c := range append(bare, conns...) {
			c.Close()
		}
		listener.Close()
		conns = conns[:0]
		for srv.Stats().Sessions > 0 {
			time.Sleep(time.Millisecond)
		}
	}
	b.ReportMetric((float64(server)-float64(client))/float64(b.N*n), "B/session")
}
