package sfu

import (
	"log/slog"

	"github.com/pion/logging"
)

// stackLogger names the WebRTC stack's complaints at debug level, without their
// arguments, which can hold addresses and descriptions. What they mean for a
// leg is logged once, by the leg itself.
type stackLogger struct{ log *slog.Logger }

func (l stackLogger) NewLogger(scope string) logging.LeveledLogger {
	return scopedLogger{l.log.With("stack", scope)}
}

type scopedLogger struct{ log *slog.Logger }

func (scopedLogger) Trace(string)                     {}
func (scopedLogger) Tracef(string, ...any)            {}
func (scopedLogger) Debug(string)                     {}
func (scopedLogger) Debugf(string, ...any)            {}
func (scopedLogger) Info(string)                      {}
func (scopedLogger) Infof(string, ...any)             {}
func (scopedLogger) Warn(string)                      {}
func (l scopedLogger) Warnf(format string, _ ...any)  { l.log.Debug(format) }
func (scopedLogger) Error(string)                     {}
func (l scopedLogger) Errorf(format string, _ ...any) { l.log.Debug(format) }
