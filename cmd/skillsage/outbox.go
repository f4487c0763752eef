package main

import (
	"math"

	"skillsage/sfu"
	"skillsage/signaling"
)

// outbox is the signaling as the relay sees it. The two know each other by plain words; figures are translated here.
type outbox struct{ *signaling.Server }

func (o outbox) Quality(room, member string, legs []sfu.Quality) {
	connections := make([]signaling.ConnectionQuality, len(legs))
	for i := range legs {
		connections[i] = connectionQuality(&legs[i])
	}
	o.Server.Quality(room, member, connections)
}

func (o outbox) MediaStatus(room, member string, s sfu.MediaStatus) {
	o.Server.MediaStatus(room, member, signaling.MediaStatus{
		UserID: s.Peer, IsScreenShare: s.Screen, Own: s.Own, State: string(s.State), Reason: string(s.Reason),
	})
}

func connectionQuality(q *sfu.Quality) signaling.ConnectionQuality {
	c := signaling.ConnectionQuality{
		UserID: q.Peer, IsScreenShare: q.Screen, Quality: string(q.Level),
		LossUp: ratio(q.LossUp), LossDown: ratio(q.LossDown), BitrateUp: q.BitrateUp, BitrateDown: q.BitrateDown,
		Transport: q.Path.Transport, CandidateType: q.Path.Remote,
	}
	if q.PeerLevel != "" {
		level := string(q.PeerLevel)
		c.PeerQuality = &level
	}
	if q.RTT > 0 {
		ms := math.Round(q.RTT.Seconds()*10_000) / 10
		c.RTT = &ms
	}
	if q.Estimate > 0 {
		c.Estimate = &q.Estimate
	}
	return c
}

// ratio is a loss with four digits, nil if it is not known.
func ratio(x float64) *float64 {
	if x < 0 {
		return nil
	}
	x = math.Round(x*10_000) / 10_000
	return &x
}
