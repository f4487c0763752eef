package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// client is a Socket.IO client on a WebSocket.
type client struct {
	ws *websocket.Conn
	id string

	mu sync.Mutex // for writing
}

const patience = 2 * time.Minute

func openOne(s *server) (*client, error) {
	dialer := websocket.Dialer{ReadBufferSize: 1024, WriteBufferSize: 1024}
	ws, _, err := dialer.Dial("ws://"+s.addr+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		return nil, err
	}
	c := &client{ws: ws}
	if _, err := c.await("0{"); err != nil {
		return nil, err
	}
	if err := c.send("40"); err != nil {
		return nil, err
	}
	answer, err := c.await("40{")
	if err != nil {
		return nil, err
	}
	var connected struct{ SID string }
	err = json.Unmarshal(answer[2:], &connected)
	c.id = connected.SID
	return c, err
}

func (c *client) send(text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ws.WriteMessage(websocket.TextMessage, []byte(text))
}

// await reads until a message with that beginning comes, and answers pings.
func (c *client) await(prefix string) ([]byte, error) {
	for {
		_, data, err := c.ws.ReadMessage()
		if err != nil {
			return nil, err
		}
		if string(data) == "2" {
			if err := c.send("3"); err != nil {
				return nil, err
			}
			continue
		}
		if bytes.HasPrefix(data, []byte(prefix)) {
			return data, nil
		}
	}
}

func open(s *server, n int) ([]*client, error) {
	clients := make([]*client, n)
	return clients, parallel(n, 20, func(i int) (err error) {
		clients[i], err = openOne(s)
		return err
	})
}

func closeAll(clients []*client) {
	for _, c := range clients {
		if c != nil {
			c.ws.Close()
		}
	}
}

// parallel calls f for 0..n-1, at most width calls at a time, and returns the first error.
func parallel(n, width int, f func(int) error) error {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, width)
	for range min(width, n) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func (c *client) join(room, role string) error {
	if err := c.send(fmt.Sprintf(`42["join-room",{"interviewId":%q,"userRole":%q}]`, room, role)); err != nil {
		return err
	}
	_, err := c.await(`42["code-state"`)
	return err
}

// openAndJoin opens n sockets and puts them into rooms of two.
func openAndJoin(s *server, n int, name string) error {
	clients := make([]*client, n)
	defer closeAll(clients)
	return parallel(n, 20, func(i int) (err error) {
		if clients[i], err = openOne(s); err != nil {
			return err
		}
		role := "recruiter"
		if i%2 == 1 {
			role = "candidate"
		}
		return clients[i].join(fmt.Sprintf("%s-%d", name, i/2), role)
	})
}

// event makes the text that a client sends, and says how what the other gets begins.
type event func(room, to string) (text, received string)

const candidate = `{"candidate":"candidate:842163049 1 udp 1677729535 203.0.113.77 46154 typ srflx raddr 10.0.0.17 rport 46154 generation 0 ufrag EEtu network-cost 999","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"EEtu"}`

func candidateEvent(_, to string) (text, received string) {
	return fmt.Sprintf(`42["ice-candidate",{"to":%q,"candidate":%s,"isScreenShare":false}]`, to, candidate), `42["ice-candidate",`
}

func statusEvent(room, _ string) (text, received string) {
	return fmt.Sprintf(`42["screen-share-status",{"interviewId":%q,"isSharing":true}]`, room), `42["screen-share-status",`
}

// forward has p.pairs pairs forward n events altogether, p.window under way in each pair.
func forward(s *server, p plan, n int, make event) error {
	return parallel(p.pairs, p.pairs, func(i int) error {
		pair, err := open(s, 2)
		defer closeAll(pair)
		if err != nil {
			return err
		}
		room := fmt.Sprintf("pair-%d-%d", i, time.Now().UnixNano())
		sender, receiver := pair[0], pair[1]
		if err := sender.join(room, "recruiter"); err != nil {
			return err
		}
		if err := receiver.join(room, "candidate"); err != nil {
			return err
		}
		text, received := make(room, receiver.id)
		deadline := time.Now().Add(patience)
		sender.ws.SetReadDeadline(deadline)
		receiver.ws.SetReadDeadline(deadline)
		go sender.await("nothing that is ever sent") // answers pings until the socket is closed
		count := n / p.pairs
		for sent, got := 0, 0; got < count; {
			for sent < count && sent-got < p.window {
				if err := sender.send(text); err != nil {
					return err
				}
				sent++
			}
			data, err := receiver.await(received)
			if err != nil {
				return fmt.Errorf("after %d events: %w", got, err)
			}
			if got == 0 && !strings.Contains(string(data), sender.id) {
				return fmt.Errorf("forwarded as %s", data)
			}
			got++
		}
		return nil
	})
}
