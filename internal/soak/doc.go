// Package soak is a test alone: interviews with real media on one real UDP port, in which people come, go, reload,
// share their screens and lose packets without end. It proves that nobody is left without picture for long and
// that nothing is left behind.
//
//	go test ./internal/soak -run Soak -v -soak.time 10m -soak.seed 42
package soak
