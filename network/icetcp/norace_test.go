//go:build !race

package icetcp

const raceEnabled = false
