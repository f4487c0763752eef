// Package lipsync is a test alone: somebody flashes and beeps over a bad line into an interview that is recorded, for a
// minute of real time and for an hour of virtual time. In the file flash and beep are together, and when they were.
//
//	go test ./internal/lipsync -v -lipsync.real 10m -lipsync.virtual 3h
package lipsync
