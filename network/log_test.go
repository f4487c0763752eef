package network

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
)

// Each call that ends could leave a line in the log of the operator's errors: the last packets of its clients come
// while it is being closed.
func TestEndingCallsLogNoErrors(t *testing.T) {
	var out bytes.Buffer
	l := muxLogger{slog.New(slog.NewTextHandler(&out, nil))}
	l.Errorf("Failed to write packet: %v", fmt.Errorf("queue: %w", io.ErrClosedPipe))
	if out.Len() != 0 {
		t.Errorf("logged: %s", out.String())
	}
	l.Errorf("Failed to read UDP packet: %v", errors.New("network is down"))
	if !strings.Contains(out.String(), "network is down") {
		t.Errorf("logged only: %s", out.String())
	}
}
