// Package lipsync is a test alone: somebody flashes and beeps over a bad line into an interview that is recorded: for a
// minute of real time through the server's port, and for longer in virtual time. In the file flash and beep are together, and
// when they were.
//
//	go test ./internal/lipsync -v -lipsync.real 10m -lipsync.virtual 1h
package lipsync
