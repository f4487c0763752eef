package sfu

import (
	"testing"

	"skillsage/sfu/bwe"
)

// TestEstimateOfEachLeg: on legs offered by the client and by the server
// transport-wide feedback is negotiated for what the server sends, and comes.
func TestEstimateOfEachLeg(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	r.offer("C")
	r.gets("C")
	k.gets("R")
	c.eventually("an estimate of both legs", func() bool {
		known := 0
		c.inRoom(func(room *room) {
			for _, l := range room.order {
				if l.conn == nil {
					continue
				}
				if e := l.conn.port.Estimate(); e.Known && e.Source == bwe.TransportWide && e.Acknowledged > 0 {
					known++
				}
			}
		})
		return known == 2
	})
}
