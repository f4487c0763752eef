//go:build race

package icetcp

const raceEnabled = true
