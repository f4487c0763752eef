package sfu

import "testing"

// Call brings a call up, of recruiter R and candidate C in the room "room"; leave makes C go.
func Call(t *testing.T) (engine *Engine, leave func()) {
	c, _, k := up(t, Options{})
	return c.engine, k.leave
}
