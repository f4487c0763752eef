package impair

import (
	"errors"
	"io"
	"sync"
)

// ethernetOverhead takes the Ethernet header out of the rate, which counts IP packets.
const ethernetOverhead = -14

// WireOptions are what a Wire starts with.
type WireOptions struct {
	Up   Settings // from the first device to the second
	Down Settings // from the second device to the first
	Seed uint64   // of the random decisions
}

// Wire carries Ethernet frames between two devices until it is closed. Its methods are safe for concurrent use.
type Wire struct {
	// Static.
	devices  [2]io.ReadWriteCloser
	up, down *pipe[io.Writer]
	done     chan struct{}
	running  sync.WaitGroup

	close sync.Once
	err   error // of closing
}

// NewWire joins two devices that read and write one frame at a time, as TAP devices do (see OpenTAP). Closing a
// device must end a read that waits. Close ends the Wire, and closes the devices; after an error they are the caller's.
func NewWire(first, second io.ReadWriteCloser, opts WireOptions) (*Wire, error) {
	if err := checkBoth(opts.Up, opts.Down); err != nil {
		return nil, err
	}
	send := func(to io.Writer, frame []byte) error {
		_, err := to.Write(frame)
		return err
	}
	w := &Wire{
		devices: [2]io.ReadWriteCloser{first, second},
		up:      newPipe(newShaper(opts.Up, opts.Seed, 1), ethernetOverhead, send),
		down:    newPipe(newShaper(opts.Down, opts.Seed, 2), ethernetOverhead, send),
		done:    make(chan struct{}),
	}
	w.running.Go(func() { w.up.run(w.done) })
	w.running.Go(func() { w.down.run(w.done) })
	w.running.Go(func() { carry(first, w.up, second) })
	w.running.Go(func() { carry(second, w.down, first) })
	return w, nil
}

// carry ends with its device.
func carry(from io.Reader, p *pipe[io.Writer], to io.Writer) {
	buffer := make([]byte, readSize)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.push(to, buffer[:n])
	}
}

// SetUp changes the direction from the first device to the second.
func (w *Wire) SetUp(s Settings) error { return w.up.set(s) }

// SetDown changes the direction from the second device to the first.
func (w *Wire) SetDown(s Settings) error { return w.down.set(s) }

// Counters returns those of both directions.
func (w *Wire) Counters() (up, down Counters) { return w.up.counters(), w.down.counters() }

// Close closes the devices, drops what is on its way and waits for the Wire's goroutines. It is idempotent.
func (w *Wire) Close() error {
	w.close.Do(func() {
		close(w.done)
		w.err = errors.Join(w.devices[0].Close(), w.devices[1].Close())
	})
	w.running.Wait()
	return w.err
}
