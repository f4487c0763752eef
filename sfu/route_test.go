package sfu

import (
	"net/netip"
	"sync"
	"testing"
)

// routeBook notes the routes that an engine opens and closes.
type routeBook struct {
	open func(local, remote netip.AddrPort, receive func([]byte) bool) Route

	mu     sync.Mutex
	opened []netip.AddrPort
	closed int
}

func (b *routeBook) route(local, remote netip.AddrPort, receive func([]byte) bool) Route {
	route := b.open(local, remote, receive)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened = append(b.opened, remote)
	return &bookedRoute{route, b}
}

func (b *routeBook) counts() (opened, closed int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.opened), b.closed
}

type bookedRoute struct {
	Route
	book *routeBook
}

func (r *bookedRoute) Close() {
	r.Route.Close()
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	r.book.closed++
}

// directs counts the connected legs by whether they go past the stack.
func (c *call) directs() (direct, stack int) {
	c.inRoom(func(r *room) {
		for _, l := range r.order {
			switch {
			case !l.connected:
			case l.conn.port.Stats().Direct:
				direct++
			default:
				stack++
			}
		}
	})
	return direct, stack
}

// TestRoutes: every leg of a call takes the short way, goes on with it at the address of an ICE restart, and leaves no
// route behind. Without routes the same call works through the stack.
func TestRoutes(t *testing.T) {
	t.Parallel()
	t.Run("short", func(t *testing.T) {
		port := openPort(t)
		book := &routeBook{open: port.Route}
		t.Cleanup(func() { // after the engine's end
			if opened, closed := book.counts(); opened != closed {
				t.Errorf("%d routes opened, %d closed", opened, closed)
			}
		})
		c, r, k := up(t, Options{UDPMux: port.Mux(), Route: book.route})
		if direct, stack := c.directs(); direct != 2 || stack != 0 {
			t.Errorf("%d legs take the short way, %d do not", direct, stack)
		}
		if opened, _ := book.counts(); opened != 2 {
			t.Errorf("%d routes for two legs", opened)
		}

		c.restartICE(r.connection(clientKey{"C", false}, false))
		c.eventually("a route to the new address, and the old one closed", func() bool {
			opened, closed := book.counts()
			return opened == 3 && closed == 1
		})
		before := port.Stats().Direct
		r.gets("C")
		k.gets("R")
		if n := port.Stats().Direct - before; n < 20 {
			t.Errorf("%d packets took the short way after the restart", n)
		}
		if direct, stack := c.directs(); direct != 2 || stack != 0 {
			t.Errorf("after the restart %d legs take the short way, %d do not", direct, stack)
		}
	})
	t.Run("long", func(t *testing.T) {
		port := openPort(t)
		c, r, k := up(t, Options{UDPMux: port.Mux()})
		r.gets("C")
		k.gets("R")
		if direct, stack := c.directs(); direct != 0 || stack != 2 {
			t.Errorf("%d legs take the short way, %d do not", direct, stack)
		}
		if n := port.Stats().Direct; n != 0 {
			t.Errorf("%d packets took the short way", n)
		}
	})
}
