package sfu

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"skillsage/sfu/media"
)

// RoomStats is what a room consists of at one moment. Figures are of its last
// sample, at most about a second old; counts are since the beginning of what they
// belong to. Times are in ms, bitrates in bit/s of RTP packets.
type RoomStats struct {
	ID      string        `json:"id"`
	Members []MemberStats `json:"members"` // by id
}

// MemberStats is one socket of a room.
type MemberStats struct {
	ID      string            `json:"id"`
	Role    string            `json:"role"`
	Sources []PublishedSource `json:"sources"`
	Legs    []LegStats        `json:"legs"`
}

// PublishedSource is one track that a member publishes.
type PublishedSource struct {
	Class     string            `json:"class"`  // audio, camera or screen
	Screen    bool              `json:"screen"` // of a shared screen, its sound too
	Kind      string            `json:"kind"`
	Codec     string            `json:"codec"`
	Stream    string            `json:"stream"`
	Carrier   string            `json:"carrier"` // the peer whose leg it comes on; empty: none at present
	Viewers   int               `json:"viewers"` // feeds that send it
	Packets   uint64            `json:"packets"`
	KeyFrames uint64            `json:"keyFrames"`
	Switches  uint64            `json:"switches"` // carriers that took over
	SilentMs  float64           `json:"sinceLastPacketMs"`
	Layers    []media.LayerInfo `json:"layers"`
}

// Leg states.
const (
	LegWaiting    = "waiting"    // for the far side, or for an answer
	LegConnecting = "connecting" // ICE and DTLS are on their way
	LegConnected  = "connected"
	LegLost       = "lost"   // connected, but the client has not been heard of for seconds
	LegParked     = "parked" // nobody has answered; a late answer still counts
)

// LegStats is one connection of a member. Up is from the client to the server.
type LegStats struct {
	Peer        string  `json:"peer"`
	Screen      bool    `json:"screen"`
	State       string  `json:"state"`
	Level       Level   `json:"quality,omitempty"`
	ConnectedMs float64 `json:"connectedMs"` // for how long; 0: it is not
	Transport   string  `json:"transport,omitempty"`
	Local       string  `json:"localCandidate,omitempty"`
	Remote      string  `json:"remoteCandidate,omitempty"`

	RTT         float64  `json:"rttMs"`  // 0: not known
	LossUp      *float64 `json:"lossUp"` // ratio over the last samples; nil: nothing went that way
	LossDown    *float64 `json:"lossDown"`
	JitterUp    float64  `json:"jitterUpMs"`
	JitterDown  float64  `json:"jitterDownMs"`
	BitrateUp   uint64   `json:"bitrateUp"`
	BitrateDown uint64   `json:"bitrateDown"`
	Estimate    uint64   `json:"estimate"` // bit/s that go through to the client; 0: not known
	Limited     bool     `json:"limited"`  // more than that was tried in vain
	REMB        uint64   `json:"remb"`     // what its last such message said; 0: none

	NACKs      uint64 `json:"nacks"`      // packets that the client asked for again
	NACKHits   uint64 `json:"nackHits"`   // of them sent again
	NACKMisses uint64 `json:"nackMisses"` // of them not in the cache
	Gaps       uint64 `json:"gaps"`       // times over 500 ms without a packet of a running camera

	Receives []UpstreamStats `json:"receives"`
	Sends    []FeedStats     `json:"sends"`
}

// UpstreamStats is a stream that a client sends on a leg.
type UpstreamStats struct {
	MID     string              `json:"mid"`
	Class   string              `json:"class"`
	Codec   string              `json:"codec"`
	Carrier bool                `json:"carrier"` // its packets are the ones that are forwarded
	Bitrate uint64              `json:"bitrate"`
	Loss    *float64            `json:"loss"`
	Jitter  float64             `json:"jitterMs"`
	Counts  media.UpstreamStats `json:"counts"`
}

// FeedStats is a stream that a client is sent on a leg.
type FeedStats struct {
	MID      string          `json:"mid"`
	Class    string          `json:"class"`
	Codec    string          `json:"codec,omitempty"`
	Source   string          `json:"source,omitempty"` // whose; empty: nothing is to be sent
	Sending  bool            `json:"sending"`
	Spatial  int8            `json:"spatial"`  // the simulcast layer that is sent, 0 is the smallest
	Temporal int8            `json:"temporal"` // the highest temporal layer that is sent
	Bitrate  uint64          `json:"bitrate"`
	Loss     *float64        `json:"loss"`
	Jitter   float64         `json:"jitterMs"`
	Counts   media.FeedStats `json:"counts"`
}

// Snapshot describes all rooms, by id. Each is described on its own goroutine, so
// that what one says fits together; ctx bounds the wait for them.
func (e *Engine) Snapshot(ctx context.Context) ([]RoomStats, error) {
	e.mu.Lock()
	results := make(chan RoomStats, len(e.rooms))
	pending := len(e.rooms)
	for _, r := range e.rooms {
		// Queued under e.mu, and so before the end of the room can be.
		r.inbox.push(func() { results <- r.snapshot(time.Now()) })
	}
	e.mu.Unlock()
	rooms := make([]RoomStats, 0, pending)
	for range pending {
		select {
		case room := <-results:
			rooms = append(rooms, room)
		case <-ctx.Done():
			return nil, fmt.Errorf("sfu: %d of %d rooms have not answered: %w", pending-len(rooms), pending, ctx.Err())
		}
	}
	slices.SortFunc(rooms, func(a, b RoomStats) int { return cmp.Compare(a.ID, b.ID) })
	return rooms, nil
}

func (r *room) snapshot(now time.Time) RoomStats {
	room := RoomStats{ID: r.id, Members: make([]MemberStats, 0, len(r.members))}
	owners := make(map[*media.Source]owner)
	for _, m := range r.everyone {
		for _, s := range m.sources {
			owners[s.media] = owner{m, s}
		}
	}
	viewers := make(map[*media.Source]int)
	legs := make(map[*member][]LegStats, len(r.members))
	for _, l := range r.order {
		legs[l.client] = append(legs[l.client], l.snapshot(now, owners, viewers))
	}
	for _, m := range r.everyone {
		stats := MemberStats{ID: m.id, Role: m.role, Legs: legs[m], Sources: []PublishedSource{}}
		if stats.Legs == nil {
			stats.Legs = []LegStats{}
		}
		for _, s := range m.sources {
			stats.Sources = append(stats.Sources, m.snapshot(s, now, viewers[s.media]))
		}
		slices.SortFunc(stats.Sources, func(a, b PublishedSource) int {
			return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Codec, b.Codec), cmp.Compare(a.Kind, b.Kind))
		})
		room.Members = append(room.Members, stats)
	}
	slices.SortFunc(room.Members, func(a, b MemberStats) int { return cmp.Compare(a.ID, b.ID) })
	return room
}

type owner struct {
	member *member
	source *source
}

func (m *member) snapshot(s *source, now time.Time, viewers int) PublishedSource {
	stats := s.media.Stats()
	p := PublishedSource{
		Class: s.class().String(), Screen: s.screen, Kind: s.key.kind.String(), Codec: s.key.codec, Stream: s.key.stream, Viewers: viewers,
		Packets: stats.Packets, KeyFrames: stats.KeyFrames, Switches: stats.Switches, Layers: s.media.Layers([]media.LayerInfo{}),
	}
	if last := s.media.LastPacket(); !last.IsZero() {
		p.SilentMs = millis(now.Sub(last))
	}
	for _, l := range m.room.order {
		if l.client != m || s.carrier == nil {
			continue
		}
		for _, up := range l.upstreams {
			if up == s.carrier {
				p.Carrier = l.key.peer
			}
		}
	}
	return p
}

func (l *leg) state(now time.Time) string {
	switch {
	case l.parked:
		return LegParked
	case l.lost(now):
		return LegLost
	case l.connected:
		return LegConnected
	case l.established:
		return LegConnecting
	}
	return LegWaiting
}

func (l *leg) snapshot(now time.Time, owners map[*media.Source]owner, viewers map[*media.Source]int) LegStats {
	f := &l.meter.now
	stats := LegStats{
		Peer: l.key.peer, Screen: l.key.screen, State: l.state(now), Receives: []UpstreamStats{}, Sends: []FeedStats{},
	}
	if l.connected {
		path := l.conn.link.path.Load()
		if path == nil {
			path = &Path{}
		}
		stats.ConnectedMs = millis(now.Sub(l.connectedAt))
		stats.Transport, stats.Local, stats.Remote = path.Transport, path.Local, path.Remote
	}
	if !f.at.IsZero() {
		stats.Level = f.level
		stats.RTT, stats.LossUp, stats.LossDown = millis(f.rtt), ratio(f.lossUp), ratio(f.lossDown)
		stats.JitterUp, stats.JitterDown = millis(f.jitterUp), millis(f.jitterDown)
		stats.BitrateUp, stats.BitrateDown, stats.Estimate, stats.Limited, stats.REMB = f.bitrateUp, f.bitrateDown, f.estimate, f.limited, f.remb
		stats.NACKs, stats.NACKHits, stats.NACKMisses, stats.Gaps = f.asked, f.hits, f.misses, f.gaps
	}
	for _, u := range l.meter.ups {
		counts := u.up.Stats()
		carries := func(p publication) bool { return p.source != nil && p.source.carrier == u.up }
		stats.Receives = append(stats.Receives, UpstreamStats{
			MID: u.mid, Class: u.class.String(), Codec: codecName(u.up.Codec().MimeType), Carrier: slices.ContainsFunc(l.pubs[:], carries),
			Bitrate: u.bitrate, Loss: ratio(u.loss), Jitter: millis(counts.Jitter), Counts: counts,
		})
	}
	for _, s := range l.sections {
		if s.feed == nil || s.slot < 0 {
			continue
		}
		counts := s.feed.Stats()
		feed := FeedStats{MID: s.mid, Class: l.classOf(s.slot).String(), Jitter: millis(counts.Jitter), Counts: counts}
		if i := slices.IndexFunc(l.meter.feeds, func(f *feedMeter) bool { return f.feed == s.feed }); i >= 0 {
			feed.Bitrate, feed.Loss = l.meter.feeds[i].bitrate, ratio(l.meter.feeds[i].loss)
		}
		if source := s.feed.Source(); source != nil {
			viewers[source]++
			if o, ok := owners[source]; ok {
				feed.Source, feed.Codec = o.member.id, o.source.key.codec
			}
		}
		var current media.Target
		current, feed.Sending = s.feed.Current()
		feed.Spatial, feed.Temporal = current.Spatial, current.Temporal
		stats.Sends = append(stats.Sends, feed)
	}
	return stats
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func ratio(x float64) *float64 {
	if x < 0 {
		return nil
	}
	return &x
}

// codecName is a MIME type's subtype as the rest of the package writes it.
func codecName(mimeType string) string {
	_, name, _ := strings.Cut(mimeType, "/")
	return strings.ToLower(name)
}
