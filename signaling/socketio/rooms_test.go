package socketio_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"skillsage/signaling/socketio"
)

// sockets is a setup that hands out every accepted socket of the main namespace.
func sockets(accepted chan *socketio.Socket) func(*socketio.Server) {
	return func(server *socketio.Server) {
		echoing(server)
		server.Of("/").OnConnect(func(s *socketio.Socket) { accepted <- s })
	}
}

func TestRooms(t *testing.T) {
	accepted := make(chan *socketio.Socket, 4)
	server, url := start(t, socketio.Options{MaxRooms: 2}, sockets(accepted))
	ns := server.Of("/")
	var clients []*client
	var all []*socketio.Socket
	for range 4 {
		clients = append(clients, connected(t, url))
		all = append(all, within(t, "socket", accepted))
	}
	for i, room := range []string{"a", "a", "b"} {
		if err := all[i].Join(room); err != nil {
			t.Fatal(err)
		}
	}
	all[0].Join("b")
	if err := all[0].Join("a"); err != nil {
		t.Errorf("joining twice: %v", err)
	}
	if err := all[0].Join("c"); err != socketio.ErrTooManyRooms {
		t.Errorf("third room: %v", err)
	}
	if rooms := all[0].Rooms(); !slices.Equal(rooms, []string{"a", "b"}) {
		t.Errorf("rooms %q", rooms)
	}
	tests := []struct {
		to   *socketio.Broadcast
		want []int
	}{
		{ns.To(), []int{0, 1, 2, 3}},
		{ns.To("a"), []int{0, 1}},
		{ns.To("a", "b"), []int{0, 1, 2}},
		{ns.To("a", "b").Except(all[0].ID()), []int{1, 2}},
		{ns.To().Except("a"), []int{2, 3}},
		{ns.To(all[3].ID()), []int{3}},
		{ns.To(all[0].ID(), "a"), []int{0, 1}},
		{all[0].To("a"), []int{1}},
		{all[0].To(), []int{1, 2, 3}},
		{ns.To("nobody"), nil},
	}
	for i, tt := range tests {
		if err := tt.to.Emit("round", i); err != nil {
			t.Fatal(err)
		}
		ns.To().Emit("end")
		for n, c := range clients {
			if slices.Contains(tt.want, n) {
				c.expect(fmt.Sprintf(`42["round",%d]`, i))
			}
			c.expect(`42["end"]`)
		}
	}
	all[0].Leave("a")
	all[0].Leave("a")
	ns.To("a").Emit("left")
	clients[1].expect(`42["left"]`)
	clients[1].send(`41`)
	eventually(t, "gone", func() bool { return ns.Len() == 3 })
	if err := all[1].Join("a"); err != socketio.ErrDisconnected {
		t.Errorf("join after the end: %v", err)
	}
	ns.To().Emit("end")
	clients[0].expect(`42["end"]`)
	if ns.Socket(all[0].ID()) != all[0] || ns.Socket(all[1].ID()) != nil {
		t.Error("sockets are not found by their id")
	}
	if err := ns.To().Emit("connect"); err == nil {
		t.Error("a reserved event was sent")
	}
}

func TestBroadcastOfBinary(t *testing.T) {
	accepted := make(chan *socketio.Socket, 2)
	server, url := start(t, socketio.Options{}, sockets(accepted))
	a, b := connected(t, url), connected(t, url)
	within(t, "socket", accepted)
	within(t, "socket", accepted)
	if err := server.Of("/").To().Emit("file", map[string]int{"n": 1}, []byte("one"), []byte("two")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{a, b} {
		c.expect(`452-["file",{"n":1},{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		c.expectBinary("one")
		c.expectBinary("two")
	}
}

// TestNothingComesBetweenAnEventAndItsAttachments while others emit to the same socket.
func TestNothingComesBetweenAnEventAndItsAttachments(t *testing.T) {
	accepted := make(chan *socketio.Socket, 1)
	_, url := start(t, socketio.Options{}, sockets(accepted))
	c := connected(t, url)
	s := within(t, "socket", accepted)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 100 {
				if i%2 == 0 {
					s.Emit("binary", []byte{byte(i)}, []byte{byte(i)})
				} else {
					s.Emit("text")
				}
			}
		})
	}
	for range 400 {
		text := c.receive()
		if text == `42["text"]` {
			continue
		}
		if text != `452-["binary",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]` {
			t.Fatalf("received %q", text)
		}
		_, first, _ := c.read()
		_, second, _ := c.read()
		if len(first) != 1 || string(first) != string(second) {
			t.Fatalf("attachments %q and %q", first, second)
		}
	}
	wg.Wait()
}

// TestSocketsComeAndGoDuringBroadcasts runs joins, emits and ends against each other.
func TestSocketsComeAndGoDuringBroadcasts(t *testing.T) {
	server, url := start(t, socketio.Options{}, func(server *socketio.Server) {
		server.Of("/").OnConnect(func(s *socketio.Socket) {
			s.Join("room")
			s.On("say", func(e *socketio.Event) {
				server.Of("/").To("room").Emit("said", s.ID())
				s.To("room").Emit("other")
			})
			s.On("leave", func(*socketio.Event) { s.Leave("room"); s.Disconnect(true) })
			s.OnDisconnect(func(socketio.Reason) { server.Of("/").To("room").Emit("left", s.ID()) })
		})
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 5 {
				c := connected(t, url)
				c.send(`42["say"]`, `42["say"]`)
				for text := ""; len(text) < 7 || text[:7] != `42["sai`; {
					text = c.receive()
				}
				if (i+n)%2 == 0 {
					c.send(`42["leave"]`)
				}
				c.ws.Close()
			}
		})
	}
	wg.Wait()
	eventually(t, "all gone", func() bool { s := server.Stats(); return s.Sockets == 0 && s.Connections == 0 })
}
