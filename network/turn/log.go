package turn

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// silence keeps what the stack says for those who debug it: strangers can cause each of its lines, at one a packet.
type silence struct{ log *slog.Logger }

func (s silence) NewLogger(string) logging.LeveledLogger { return s }

func (s silence) say(text string) { s.log.Debug("TURN", "text", text) }

func (s silence) sayf(format string, args ...any) {
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.say(fmt.Sprintf(format, args...))
	}
}

func (silence) Trace(string)                       {}
func (silence) Tracef(string, ...any)              {}
func (silence) Debug(string)                       {}
func (silence) Debugf(string, ...any)              {}
func (s silence) Info(text string)                 { s.say(text) }
func (s silence) Infof(format string, args ...any) { s.sayf(format, args...) }
func (s silence) Warn(text string)                 { s.say(text) }
func (s silence) Warnf(format string, args ...any) { s.sayf(format, args...) }
func (s silence) Error(text string)                { s.say(text) }

func (s silence) Errorf(format string, args ...any) { s.sayf(format, args...) }
