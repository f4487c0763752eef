package engineio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestWebSocketEcho(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){"plain": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		t.Run(name, func(t *testing.T) {
			f := serveWith(t, Options{}, echo, start)
			ws, a := f.direct()
			for _, text := range []string{"hello", "", "€", strings.Repeat("x", 70_000), strings.Repeat("y", 900_000)} {
				write(t, ws, "4"+text)
				read(t, ws, "4"+text)
			}
			data := bytes.Repeat([]byte{0, 255}, 1000)
			ws.WriteMessage(websocket.BinaryMessage, data)
			if kind, got, err := ws.ReadMessage(); kind != websocket.BinaryMessage || !bytes.Equal(got, data) {
				t.Errorf("binary: kind %d, %d bytes, %v", kind, len(got), err)
			}
			write(t, ws, "bAQIDBA==") // base64 in a text, as the reference server takes it
			if kind, got, err := ws.ReadMessage(); kind != websocket.BinaryMessage || !bytes.Equal(got, []byte{1, 2, 3, 4}) {
				t.Errorf("base64: kind %d, %x, %v", kind, got, err)
			}
			write(t, ws, "0{}")
			write(t, ws, "5")
			write(t, ws, "6")
			a.Send(NewTextBinary([][]byte{{1}, {2, 3}}, []byte("with two")))
			read(t, ws, "4with two")
			read(t, ws, "\x01")
			read(t, ws, "\x02\x03")
			ws.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(patience))
			pong := make(chan string, 1)
			ws.SetPongHandler(func(data string) error { pong <- data; return nil })
			write(t, ws, "4after")
			read(t, ws, "4after")
			if got := <-pong; got != "are you there" {
				t.Errorf("pong %q", got)
			}
			a.Close("")
			if code := readClose(t, ws); code != websocket.CloseNormalClosure {
				t.Errorf("close code %d", code)
			}
			a.wantClosed(t, ReasonForcedClose)
			eventually(t, "the session is removed", func() bool { return len(f.list()) == 0 })
		})
	}
}

func TestWebSocketGoodbyes(t *testing.T) {
	for name, c := range map[string]struct {
		leave func(*websocket.Conn)
		want  Reason
	}{
		"1000": {func(ws *websocket.Conn) {
			ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"))
		}, ReasonTransportClose},
		"1001": {func(ws *websocket.Conn) {
			ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1001, ""))
		}, ReasonTransportClose},
		"1005":         {func(ws *websocket.Conn) { ws.WriteMessage(websocket.CloseMessage, nil) }, ReasonTransportClose},
		"close packet": {func(ws *websocket.Conn) { ws.WriteMessage(websocket.TextMessage, []byte("1")) }, ReasonTransportClose},
		"TCP end":      {func(ws *websocket.Conn) { ws.NetConn().Close() }, ReasonTransportError},
		"TCP reset":    {func(ws *websocket.Conn) { ws.NetConn().(*net.TCPConn).SetLinger(0); ws.NetConn().Close() }, ReasonTransportError},
		"half close":   {func(ws *websocket.Conn) { ws.NetConn().(*net.TCPConn).CloseWrite() }, ReasonTransportError},
		"bad frame":    {func(ws *websocket.Conn) { ws.NetConn().Write([]byte{0xf1, 0x80, 0, 0, 0, 0}) }, ReasonParseError},
		"unmasked":     {func(ws *websocket.Conn) { ws.NetConn().Write([]byte{0x81, 0x01, '4'}) }, ReasonParseError},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, Options{}, nil)
			ws, a := f.direct()
			c.leave(ws)
			a.wantClosed(t, c.want)
			if a.reason.Goodbye() != (c.want == ReasonTransportClose) {
				t.Errorf("Goodbye() = %v for %q", a.reason.Goodbye(), a.reason)
			}
			if a.Send(NewText([]byte("x"))) != ErrClosed {
				t.Error("Send after the end")
			}
			eventually(t, "the session is removed", func() bool { return len(f.list()) == 0 })
		})
	}
}

// A tab that closes sends a close frame and ends the connection at once, while others still send to it: the
// failing writes must not hide the goodbye.
func TestGoodbyeUnderFire(t *testing.T) {
	f := serve(t, Options{}, nil)
	for range 30 {
		ws, a := f.direct()
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					a.Send(NewText([]byte("candidate")))
					time.Sleep(20 * time.Microsecond) // else the queue's bound is passed
				}
			}
		}()
		for range 10 {
			ws.ReadMessage()
		}
		ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1001, ""))
		ws.NetConn().Close() // with unread input: a reset follows the close frame
		a.wantClosed(t, ReasonTransportClose)
		close(stop)
		<-stopped
	}
}

func TestWebSocketViolations(t *testing.T) {
	for name, c := range map[string]struct {
		kind int
		data string
		code int
		want Reason
	}{
		"unknown type": {websocket.TextMessage, "abc", 1002, ReasonParseError},
		"empty":        {websocket.TextMessage, "", 1002, ReasonParseError},
		"ping":         {websocket.TextMessage, "2", 1002, ReasonParseError},
		"probe":        {websocket.TextMessage, "2probe", 1002, ReasonParseError},
		"base64":       {websocket.TextMessage, "b!", 1002, ReasonParseError},
		"not UTF-8":    {websocket.TextMessage, "4\xc3\x28", 1007, ReasonParseError},
		"too large":    {websocket.TextMessage, "4" + strings.Repeat("x", 1000), 1009, ReasonTooLarge},
		"large binary": {websocket.BinaryMessage, strings.Repeat("x", 1001), 1009, ReasonTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, Options{MaxPayload: 1000}, nil)
			ws, a := f.direct()
			write(t, ws, "4"+strings.Repeat("x", 999))
			ws.WriteMessage(c.kind, []byte(c.data))
			ws.WriteMessage(websocket.TextMessage, []byte("4behind it"))
			if code := readClose(t, ws); code != c.code {
				t.Errorf("close code %d, want %d", code, c.code)
			}
			a.wantClosed(t, c.want)
			if n := len(a.messages()); n != 1 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// clientFrame makes a masked frame with a zero key.
func clientFrame(first byte, body string) []byte {
	b := []byte{first, 0x80 | 126, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(len(body)))
	return append(b, body...)
}

func TestWebSocketFragments(t *testing.T) {
	f := serve(t, Options{ReadTimeout: 300 * time.Millisecond, MaxPayload: 100}, echo)
	ws, a := f.direct()
	raw := ws.NetConn()
	// Several frames make one message, in whatever pieces they come; a ping may be between them.
	for _, b := range append(append(append(clientFrame(0x01, "4he"), 0x89, 0x80, 0, 0, 0, 0), clientFrame(0x00, "")...), clientFrame(0x80, "llo")...) {
		raw.Write([]byte{b})
	}
	read(t, ws, "4hello")
	// The deadline of one message is not left for the next.
	time.Sleep(400 * time.Millisecond)
	write(t, ws, "4still here")
	read(t, ws, "4still here")
	// The limit is for all fragments together.
	raw.Write(clientFrame(0x01, "4"+strings.Repeat("x", 60)))
	raw.Write(clientFrame(0x80, strings.Repeat("x", 60)))
	if code := readClose(t, ws); code != 1009 {
		t.Errorf("close code %d", code)
	}
	a.wantClosed(t, ReasonTooLarge)

	// Empty continuation frames for ever: the message has a deadline.
	ws, a = f.direct()
	raw = ws.NetConn()
	raw.Write(clientFrame(0x01, "4"))
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		select {
		case <-a.closed:
			a.wantClosed(t, ReasonTransportError)
			return
		default:
		}
		if time.Since(start) > patience {
			t.Fatal("endless fragments are endured")
		}
		raw.Write(clientFrame(0x00, ""))
	}
}

func TestPanicClosesThatSessionOnly(t *testing.T) {
	f := serve(t, Options{}, func(a *app, data []byte, binary bool) {
		if string(data) == "boom" {
			panic("boom")
		}
		echo(a, data, binary)
	})
	ws, a := f.direct()
	other, _ := f.direct()
	write(t, ws, "4boom")
	if code := readClose(t, ws); code != websocket.CloseInternalServerErr {
		t.Errorf("close code %d", code)
	}
	a.wantClosed(t, ReasonServerError)
	query, b := f.polling()
	f.post(query, "4boom\x1e4more", 200)
	f.get(query, "1")
	b.wantClosed(t, ReasonServerError)
	write(t, other, "4fine")
	read(t, other, "4fine")
	if n := f.Stats().Panics; n != 2 {
		t.Errorf("%d panics", n)
	}
}

// A peer that doesn't read is closed once the bound is passed; Send never waits for it.
func TestStalledReader(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){"plain": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		for bound, opts := range map[string]Options{"packets": {QueuePackets: 50}, "bytes": {QueueBytes: 1 << 20}} {
			t.Run(name+" "+bound, func(t *testing.T) {
				f := serveWith(t, opts, nil, start)
				_, a := f.direct()
				packet := NewText(bytes.Repeat([]byte("x"), 50_000))
				var err error
				longest := time.Duration(0)
				sent := 0
				for ; err == nil && sent < 100_000; sent++ {
					start := time.Now()
					err = a.Send(packet)
					longest = max(longest, time.Since(start))
				}
				if err != ErrSlowReader {
					t.Fatalf("after %d packets: %v", sent, err)
				}
				if longest > time.Second {
					t.Errorf("a Send took %v", longest)
				}
				a.wantClosed(t, ReasonSlowReader)
				if a.Send(packet) != ErrClosed {
					t.Error("Send after the end")
				}
			})
		}
	}
}

// A peer that doesn't read, and isn't sent enough to fill the queue, is closed by the write deadline.
func TestWriteTimeout(t *testing.T) {
	f := serve(t, Options{WriteTimeout: 200 * time.Millisecond, QueueBytes: 64 << 20}, nil)
	_, a := f.direct()
	packet := NewText(bytes.Repeat([]byte("x"), 500_000))
	for i := 0; f.Stats().WritesDeferred == 0 && i < 100; i++ {
		if err := a.Send(packet); err != nil {
			t.Fatal(err)
		}
	}
	a.wantClosed(t, ReasonTransportError)
}

// What a slow but living reader was sent comes whole and in order, and the close frame after all of it.
func TestDeferredWritesKeepOrder(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){"plain": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		t.Run(name, func(t *testing.T) {
			f := serveWith(t, Options{QueueBytes: 64 << 20}, nil, start)
			ws, a := f.direct()
			const senders, each = 4, 300
			done := make(chan bool)
			for s := range senders {
				go func() {
					for i := range each {
						pad := strings.Repeat("x", (i*7919)%40_000)
						if err := a.Send(NewTextBinary([][]byte{{byte(s)}}, fmt.Appendf(nil, "%d %d %s", s, i, pad))); err != nil {
							t.Errorf("Send: %v", err)
						}
					}
					done <- true
				}()
			}
			for range senders {
				<-done
			}
			a.Close("")
			if f.Stats().WritesDeferred == 0 {
				t.Error("everything fitted into the socket: nothing was tested")
			}
			var next [senders]int
			for range senders * each {
				_, text, err := ws.ReadMessage()
				if err != nil {
					t.Fatalf("after %v: %v", next, err)
				}
				var s, i int
				if _, err := fmt.Sscanf(string(text), "4%d %d ", &s, &i); err != nil {
					t.Fatalf("%.50q: %v", text, err)
				}
				if i != next[s] || len(text) != len(fmt.Sprintf("4%d %d ", s, i))+(i*7919)%40_000 {
					t.Fatalf("sender %d: got %d with %d bytes, want %d", s, i, len(text), next[s])
				}
				next[s]++
				if kind, data, err := ws.ReadMessage(); err != nil || kind != websocket.BinaryMessage || !bytes.Equal(data, []byte{byte(s)}) {
					t.Fatalf("something came between a text and its attachment: %d %.20q %v", kind, data, err)
				}
			}
			if code := readClose(t, ws); code != websocket.CloseNormalClosure {
				t.Errorf("close code %d", code)
			}
		})
	}
}

// A wrapped connection must not be written around.
// TestBurstsAreWrittenTogether: what is sent in one go arrives whole and in order, in fewer writes, also where
// nothing but the sender gets to run, and a close frame comes last.
func TestBurstsAreWrittenTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const count = 1000
	f := serve(t, Options{}, echo)
	ws, a := f.direct()
	write(t, ws, "4ready")
	read(t, ws, "4ready")
	for i := range count {
		if err := a.Send(NewText(fmt.Append(nil, i))); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
	}
	a.Close("")
	for i := range count {
		read(t, ws, fmt.Sprint("4", i))
	}
	readClose(t, ws)
	a.wantClosed(t, ReasonForcedClose)
}

// TestGatheredFramesLeaveWithoutHelp: the last frames of a burst need no further packet to get on their way.
func TestGatheredFramesLeaveWithoutHelp(t *testing.T) {
	f := serve(t, Options{}, echo)
	ws, a := f.direct()
	for round := range 200 {
		for i := range round % 5 {
			a.Send(NewText(fmt.Append(nil, i)))
		}
		for i := range round % 5 {
			read(t, ws, fmt.Sprint("4", i))
		}
	}
	eventually(t, "the socket is writable", a.Writable)
}

func TestNonBlockingWriterIsForSocketsOnly(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if newNonBlockingWriter(a) != nil {
		t.Error("a pipe has no descriptor")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	tcp, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if newNonBlockingWriter(struct{ net.Conn }{tcp}) != nil {
		t.Error("a wrapper may transform what is written")
	}
	w := newNonBlockingWriter(tcp)
	if n, err := w.write(make([]byte, 64<<20)); err != nil || n == 0 || n == 64<<20 {
		t.Errorf("wrote %d of 64 MB to nobody, %v; want a part at once", n, err)
	}
	if n, err := w.write([]byte("x")); n != 0 || err != nil {
		t.Errorf("full socket: %d, %v; want 0 at once", n, err)
	}
	tcp.Close()
	if _, err := w.write([]byte("x")); err == nil {
		t.Error("wrote to a closed connection")
	}
}
