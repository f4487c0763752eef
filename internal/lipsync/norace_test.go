//go:build !race

package lipsync

const raceEnabled = false
