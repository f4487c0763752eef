// Package journal keeps what is logged or printed while a test runs.
package journal

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// Journal is an io.Writer that can be read meanwhile. The zero value is ready for use, by any goroutine.
type Journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write keeps p.
func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

// String is all that was written.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// Count is how often text was written.
func (j *Journal) Count(text string) int { return strings.Count(j.String(), text) }

// Logger writes to the journal from the level of Info on.
func (j *Journal) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }
