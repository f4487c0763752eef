package network

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// muxLogger gives the mux's words to slog. What strangers can cause by sending a packet (a broken
// STUN message, one without a user name) is a warning there; at one line per packet it would fill any disk, so
// only errors are passed on. That a packet came for a connection which is just being closed is none.
type muxLogger struct{ log *slog.Logger }

func (muxLogger) Trace(string)          {}
func (muxLogger) Tracef(string, ...any) {}
func (muxLogger) Debug(string)          {}
func (muxLogger) Debugf(string, ...any) {}
func (muxLogger) Info(string)           {}
func (muxLogger) Infof(string, ...any)  {}
func (muxLogger) Warn(string)           {}
func (muxLogger) Warnf(string, ...any)  {}

func (l muxLogger) Error(text string) { l.log.Error("media port", "error", text) }
func (l muxLogger) Errorf(format string, args ...any) {
	for _, arg := range args {
		if err, ok := arg.(error); ok && errors.Is(err, io.ErrClosedPipe) {
			return
		}
	}
	l.log.Error("media port", "error", fmt.Sprintf(format, args...))
}
