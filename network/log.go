package network

import (
	"fmt"
	"log/slog"
)

// muxLogger gives the mux's words to slog. What strangers can cause by sending a packet (a broken
// STUN message, one without a user name) is a warning there; at one line per packet it would fill any disk, so
// only errors are passed on.
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
	l.log.Error("media port", "error", fmt.Sprintf(format, args...))
}
