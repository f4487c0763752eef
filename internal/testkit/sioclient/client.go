// Package sioclient is a small Socket.IO client for tests: protocol v5 over Engine.IO v4, on WebSocket, HTTP
// long-polling or an upgrade from one to the other, text only. It keeps every event that it receives, in order, and can end
// its connection in every way that a real client's ends.
//
// It never reconnects by itself; a test dials again, with Recover to come back as the same socket.
package sioclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Transports.
const (
	WebSocket = "websocket"
	Polling   = "polling"
	Upgrade   = "upgrade" // handshake by polling, everything else by WebSocket
)

// Options of a connection; the zero value is a WebSocket to "/".
type Options struct {
	Transport string
	Query     url.Values
	Header    http.Header
	Auth      any
	Recover   *Recovery            // come back as the socket that these words belong to
	OnEvent   func(*Client, Event) // called by the reader for each event, before it is kept
	Discard   bool                 // keep no events (for floods); OnEvent still sees them
}

// Recovery is what a client needs to come back as the socket that it was.
type Recovery struct{ PID, Offset string }

// Event is one received event. With recovery on, the server's offset is the last of Args, as for stock clients.
type Event struct {
	Name string
	Args []json.RawMessage
}

// Decode decodes the first argument.
func (e Event) Decode(v any) error {
	if len(e.Args) == 0 {
		return fmt.Errorf("%s has no argument", e.Name)
	}
	return json.Unmarshal(e.Args[0], v)
}

// Text is the first argument as it came, "" if there is none.
func (e Event) Text() string {
	if len(e.Args) == 0 {
		return ""
	}
	return string(e.Args[0])
}

// ErrRefused is returned by Dial, with the server's words, when the CONNECT is refused.
var ErrRefused = errors.New("connection refused by the server")

// Client is one connected socket. Its methods are safe for concurrent use.
type Client struct {
	// Static.
	id, pid   string
	options   Options
	transport transport
	done      chan struct{} // closed by the reader when the connection is over

	mu      sync.Mutex
	changed chan struct{} // guarded by mu; closed and replaced when an event arrives
	events  []Event       // guarded by mu
	taken   []bool        // guarded by mu; parallel to events
	offset  string        // guarded by mu
	acks    map[int]chan []json.RawMessage
	nextAck int
	mute    bool // guarded by mu; do not answer pings
	err     error
}

// transport carries Engine.IO packets as text. write is safe for concurrent use; read is called by one goroutine.
type transport interface {
	read() ([]string, error)
	write(packets ...string) error
	goodbye() // say that the session is over, then close
	abort()   // just cut the connection
}

// Dial connects to the server at base (http://host:port, the path defaults to /socket.io/) and to the namespace "/".
func Dial(ctx context.Context, base string, o Options) (*Client, error) {
	t, err := open(ctx, base, o)
	if err != nil {
		return nil, err
	}
	c := &Client{options: o, transport: t, done: make(chan struct{}), changed: make(chan struct{}), acks: map[int]chan []json.RawMessage{}}
	auth := o.Auth
	if o.Recover != nil {
		auth = map[string]string{"pid": o.Recover.PID, "offset": o.Recover.Offset}
	}
	connect := "40"
	if auth != nil {
		text, err := json.Marshal(auth)
		if err != nil {
			t.abort()
			return nil, err
		}
		connect += string(text)
	}
	if err := t.write(connect); err != nil {
		t.abort()
		return nil, err
	}
	if u, ok := t.(*polling); ok && o.Transport == Upgrade {
		if t, err = u.upgrade(ctx); err != nil {
			u.abort()
			return nil, err
		}
		c.transport = t
	}
	answered := make(chan error, 1)
	go c.run(answered)
	select {
	case err = <-answered:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		c.Abort()
		return nil, err
	}
	return c, nil
}

// ID is the socket's id, public to peers.
func (c *Client) ID() string { return c.id }

// Recovery returns the words to come back with, nil if the server keeps no state for that.
func (c *Client) Recovery() *Recovery {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid == "" {
		return nil
	}
	return &Recovery{PID: c.pid, Offset: c.offset}
}

// Done is closed when the connection is over.
func (c *Client) Done() <-chan struct{} { return c.done }

// Emit sends an event without an acknowledgement.
func (c *Client) Emit(event string, args ...any) error {
	text, err := json.Marshal(append([]any{event}, args...))
	if err != nil {
		return err
	}
	return c.transport.write("42" + string(text))
}

// EmitRaw sends an event whose arguments are given as JSON text, valid or not.
func (c *Client) EmitRaw(event, args string) error {
	if args != "" {
		args = "," + args
	}
	return c.transport.write("42[" + strconv.Quote(event) + args + "]")
}

// WriteRaw sends one Engine.IO packet as it is; a binary one is written as in polling, "b" and base64.
func (c *Client) WriteRaw(packet string) error { return c.transport.write(packet) }

// Call sends an event and waits for its acknowledgement; args may hold json.RawMessage.
func (c *Client) Call(ctx context.Context, event string, args ...any) ([]json.RawMessage, error) {
	text, err := json.Marshal(append([]any{event}, args...))
	if err != nil {
		return nil, err
	}
	answer := make(chan []json.RawMessage, 1)
	c.mu.Lock()
	id := c.nextAck
	c.nextAck++
	c.acks[id] = answer
	c.mu.Unlock()
	if err := c.transport.write("42" + strconv.Itoa(id) + string(text)); err != nil {
		return nil, err
	}
	select {
	case args := <-answer:
		return args, nil
	case <-c.done:
		return nil, c.closed()
	case <-ctx.Done():
		return nil, fmt.Errorf("no acknowledgement of %s: %w", event, ctx.Err())
	}
}

// Wait takes the first kept event of that name that no Wait has taken yet, waiting for it if need be.
func (c *Client) Wait(ctx context.Context, event string) (Event, error) {
	return c.WaitFunc(ctx, event, func(Event) bool { return true })
}

// WaitFunc is Wait for an event that match accepts as well; those that it refuses stay.
func (c *Client) WaitFunc(ctx context.Context, event string, match func(Event) bool) (Event, error) {
	seen := 0
	for {
		c.mu.Lock()
		for ; seen < len(c.events); seen++ {
			if e := c.events[seen]; e.Name == event && !c.taken[seen] && match(e) {
				c.taken[seen] = true
				c.mu.Unlock()
				return e, nil
			}
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-c.done:
			return Event{}, fmt.Errorf("no %s: %w", event, c.closed())
		case <-ctx.Done():
			return Event{}, fmt.Errorf("no %s: %w", event, ctx.Err())
		}
	}
}

// Events returns all events kept so far, taken or not.
func (c *Client) Events() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Event(nil), c.events...)
}

// Count is how many events of that name have come.
func (c *Client) Count(event string) int {
	n := 0
	for _, e := range c.Events() {
		if e.Name == event {
			n++
		}
	}
	return n
}

// Mute makes the client stop answering the server's pings, as if its network had gone silent.
func (c *Client) Mute() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute = true
}

// Disconnect says goodbye with a Socket.IO DISCONNECT and leaves the connection open.
func (c *Client) Disconnect() error { return c.transport.write("41") }

// Close says goodbye with a WebSocket close frame or an Engine.IO close packet, and waits for the reader to end.
func (c *Client) Close() {
	c.transport.goodbye()
	<-c.done
}

// Abort cuts the connection without a word, and waits for the reader to end.
func (c *Client) Abort() {
	c.transport.abort()
	<-c.done
}

func (c *Client) closed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("connection over: %w", c.err)
}

// run reads until the connection is over. The answer to CONNECT, or the failure, goes to answered once.
func (c *Client) run(answered chan<- error) {
	defer close(c.done)
	for {
		packets, err := c.transport.read()
		for _, p := range packets {
			if err == nil {
				err = c.receive(p, answered)
			}
		}
		if err != nil {
			c.transport.abort()
			c.mu.Lock()
			c.err = err
			c.mu.Unlock()
			select {
			case answered <- err:
			default:
			}
			return
		}
	}
}

func (c *Client) receive(p string, answered chan<- error) error {
	switch {
	case p == "":
		return nil
	case p == "1":
		return errors.New("closed by the server")
	case p[0] == '2':
		c.mu.Lock()
		mute := c.mute
		c.mu.Unlock()
		if mute {
			return nil
		}
		return c.transport.write("3" + p[1:])
	case len(p) < 2 || p[0] != '4':
		return nil
	}
	body := p[2:]
	switch p[1] {
	case '0':
		var words struct{ SID, PID string }
		if err := json.Unmarshal([]byte(body), &words); err != nil {
			return err
		}
		c.id = words.SID
		c.mu.Lock()
		c.pid = words.PID
		if c.options.Recover != nil {
			c.offset = c.options.Recover.Offset
		}
		c.mu.Unlock()
		answered <- nil
	case '4':
		return fmt.Errorf("%w: %s", ErrRefused, body)
	case '1':
		return errors.New("disconnected by the server")
	case '2':
		return c.event(body)
	case '3':
		return c.acknowledged(body)
	}
	return nil
}

func (c *Client) event(body string) error {
	body = body[max(strings.IndexByte(body, '['), 0):]
	var args []json.RawMessage
	var name string
	if err := json.Unmarshal([]byte(body), &args); err != nil || len(args) == 0 || json.Unmarshal(args[0], &name) != nil {
		return fmt.Errorf("not an event: %.80q", body)
	}
	e := Event{Name: name, Args: args[1:]}
	if c.options.OnEvent != nil {
		c.options.OnEvent(c, e)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(e.Args); c.pid != "" && n > 0 && e.Args[n-1][0] == '"' {
		_ = json.Unmarshal(e.Args[n-1], &c.offset)
	}
	if !c.options.Discard {
		c.events = append(c.events, e)
		c.taken = append(c.taken, false)
		close(c.changed)
		c.changed = make(chan struct{})
	}
	return nil
}

func (c *Client) acknowledged(body string) error {
	at := strings.IndexByte(body, '[')
	id, err := strconv.Atoi(body[:max(at, 0)])
	if err != nil {
		return fmt.Errorf("not an acknowledgement: %.80q", body)
	}
	var args []json.RawMessage
	if err := json.Unmarshal([]byte(body[at:]), &args); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer := c.acks[id]; answer != nil {
		delete(c.acks, id)
		answer <- args
	}
	return nil
}

// dialTimeout bounds a single HTTP exchange that is not a held poll.
const dialTimeout = 30 * time.Second
