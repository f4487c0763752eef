package certs

import (
	"context"
	"log/slog"

	"go.uber.org/zap/zapcore"
)

// core gives certmagic's log to a handler of log/slog.
type core struct {
	handler slog.Handler
	fields  []zapcore.Field
}

// level has the same steps in both packages.
func level(l zapcore.Level) slog.Level { return min(slog.Level(4*l), slog.LevelError) }

func (c core) Enabled(l zapcore.Level) bool { return c.handler.Enabled(context.Background(), level(l)) }

func (c core) With(fields []zapcore.Field) zapcore.Core {
	c.fields = append(c.fields[:len(c.fields):len(c.fields)], fields...)
	return c
}

func (c core) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c core) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	record := slog.NewRecord(entry.Time, level(entry.Level), "certificates: "+entry.Message, 0)
	for _, field := range append(c.fields[:len(c.fields):len(c.fields)], fields...) {
		// A field may have several entries: an error has its details beside it.
		encoder := zapcore.NewMapObjectEncoder()
		field.AddTo(encoder)
		if value, ok := encoder.Fields[field.Key]; ok {
			record.AddAttrs(slog.Any(field.Key, value))
		}
	}
	return c.handler.Handle(context.Background(), record)
}

func (c core) Sync() error { return nil }
