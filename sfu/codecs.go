package sfu

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/jsep"
)

// takes is what a member's descriptions have shown of the codecs of one kind.
type takes struct {
	names map[string]bool // true: listed by the client; false: offered to it in vain
	whole bool            // an offer has listed all there are
}

// learn reads what the client takes from a description of its own. whole tells
// that it is the first offer of a connection, which lists all that the client
// can; an answer or a later offer names what was agreed, and others may be left.
func (m *member) learn(desc *jsep.Description, whole bool) {
	for i := range desc.Sections {
		s := &desc.Sections[i]
		if s.Kind == jsep.Application || s.Rejected {
			continue
		}
		t := m.codecs(s.Kind)
		for _, name := range s.Takes() {
			t.names[name] = true
		}
		t.whole = t.whole || whole
	}
}

func (m *member) codecs(kind jsep.Kind) *takes {
	t := m.takes[kind]
	if t == nil {
		t = &takes{names: make(map[string]bool)}
		m.takes[kind] = t
	}
	return t
}

// mayTake tells whether nothing is known against a codec.
func (m *member) mayTake(kind jsep.Kind, name string) bool {
	listed, known := m.codecs(kind).names[name]
	return listed || !known && !m.codecs(kind).whole
}

// known tells whether the client has ever shown what it takes.
func (m *member) known(kind jsep.Kind) bool { return len(m.codecs(kind).names) > 0 }

// codec is the one codec of a kind on this leg: what was agreed, and before that
// the first usable one that the section has. Nil: none.
func (l *leg) codec(s *jsep.Section) *jsep.Codec {
	names := l.offered[s.Kind] // an answering client sends the first of them that it takes
	switch {
	case l.codecs[s.Kind] != "":
		names = []string{l.codecs[s.Kind]}
	case len(names) == 0:
		names = l.usable(s.Kind)
	}
	codec := jsep.Choose(s, names, "")
	if codec == nil || codec.RED == 0 || l.opus().RED != jsep.NoRED {
		return codec
	}
	plain := *codec
	plain.RED = 0
	return &plain
}

// usable lists the codecs that a leg may have, the best first. One codec
// serves both directions, so that both sides must take it: with the far leg's,
// if there is one, a source needs no second codec. Else what the two already send
// or see comes first (one upload for all viewers), then what all members take
// that are known, then the policy.
func (l *leg) usable(kind jsep.Kind) []string {
	if kind == jsep.Audio {
		return []string{"opus"}
	}
	opp := l.opposite
	if opp != nil && opp.codecs[kind] != "" {
		return []string{opp.codecs[kind]}
	}
	names := slices.Clone(l.room.engine.opts.VideoCodecs)
	names = slices.DeleteFunc(names, func(name string) bool {
		if opp != nil && opp.held != nil && !listed(opp.held, kind, name) {
			return true
		}
		return !l.client.mayTake(kind, name) || !l.peer.mayTake(kind, name)
	})
	rank := make(map[string]int, len(names))
	for _, name := range names {
		switch {
		case l.runs(kind, name):
		case l.suitsAll(kind, name):
			rank[name] = 1
		default:
			rank[name] = 2
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(rank[a], rank[b]) })
	return names
}

// listed tells whether a client's offer has a codec for a kind.
func listed(desc *jsep.Description, kind jsep.Kind, name string) bool {
	return slices.ContainsFunc(desc.Sections, func(s jsep.Section) bool {
		return s.Kind == kind && !s.Rejected && slices.Contains(s.Takes(), name)
	})
}

// runs tells whether either side of the call already sends that codec to others.
func (l *leg) runs(kind jsep.Kind, name string) bool {
	return slices.ContainsFunc(l.room.order, func(other *leg) bool {
		return other.key.screen == l.key.screen && other.codecs[kind] == name && other.publishes() &&
			(other.key.client == l.key.client || other.key.client == l.key.peer)
	})
}

func (l *leg) suitsAll(kind jsep.Kind, name string) bool {
	for _, m := range l.room.everyone {
		if m.known(kind) && !m.mayTake(kind, name) {
			return false
		}
	}
	return true
}

// agree fixes the codec of every kind that the client's description settles.
func (l *leg) agree(desc *jsep.Description) {
	for i := range desc.Sections {
		s := &desc.Sections[i]
		if s.Kind == jsep.Application || l.codecs[s.Kind] != "" {
			continue
		}
		if !s.Rejected {
			if codec := l.codec(s); codec != nil {
				l.codecs[s.Kind] = codec.Name
				l.published = nil // its sources were named before the codec was known
			}
		} else if len(s.Takes()) == 0 {
			// Turned down without a format, where a page that wants no picture lists
			// them: there is none that the client takes.
			for _, name := range l.offered[s.Kind] {
				if t := l.client.codecs(s.Kind); !t.names[name] {
					t.names[name] = false
				}
			}
		}
	}
	if !l.established {
		l.red = l.opus().RED
	}
}

// offeredCodecs names the codecs of every kind that a server's offer introduces:
// all that both sides may take, so that a client without the first one takes
// another and is not left without a section.
func (l *leg) offeredCodecs(added []*section) map[jsep.Kind][]string {
	introduced := make(map[jsep.Kind][]string)
	for _, s := range added {
		if l.codecs[s.kind] != "" || introduced[s.kind] != nil {
			continue
		}
		names := l.usable(s.kind)
		if len(names) == 0 { // its own camera needs a section all the same
			names = slices.DeleteFunc(slices.Clone(l.room.engine.opts.VideoCodecs), func(name string) bool { return !l.client.mayTake(s.kind, name) })
		}
		if len(names) == 0 {
			names = l.room.engine.opts.VideoCodecs
		}
		if l.client.codecs(s.kind).names[names[0]] {
			names = names[:1] // no need for others
		}
		if l.offered == nil {
			l.offered = make(map[jsep.Kind][]string)
		}
		l.offered[s.kind] = names
		if s.kind == jsep.Audio && l.opus().RED != jsep.NoRED {
			names = append(slices.Clone(names), "red")
		}
		introduced[s.kind] = names
	}
	return introduced
}

// opus is what this leg says of Opus: the far client's words. RED stays what the
// first exchange made it, since the stack cannot take it back.
func (l *leg) opus() jsep.OpusLocal {
	local := jsep.OpusLocal{RED: jsep.REDBehind}
	if opp := l.opposite; opp != nil {
		if desc := opp.description(); desc != nil {
			for i := range desc.Sections {
				if s := &desc.Sections[i]; s.Kind == jsep.Audio && !s.Rejected {
					local = jsep.OpusOf(s)
					break
				}
			}
		}
	}
	if l.established {
		local.RED = l.red
	}
	return local
}

// inOwnCodecs replaces sources of another codec than the leg's by the same track
// as it is published on another leg; where there is none, the slot stays empty.
func (l *leg) inOwnCodecs(pubs [slots]publication) [slots]publication {
	for slot := range pubs {
		src := pubs[slot].source
		if src == nil {
			continue
		}
		if codec := l.codecs[slotKind(slot)]; codec != "" && src.key.codec != codec {
			key := src.key
			key.codec = codec
			pubs[slot].source = l.peer.source(key)
		}
	}
	return pubs
}

// countSecond notes a source whose track is sent a second time in another codec,
// for a viewer who cannot take the first.
func (m *member) countSecond(l *leg, key sourceKey) {
	if l.codecs[jsep.Kind(key.kind.String())] != key.codec {
		return // not agreed yet
	}
	for _, other := range m.sources {
		same := key
		same.codec = other.key.codec
		if other.key == same && same.codec != key.codec && m.agreedElsewhere(l, same) {
			m.room.engine.count.seconds.Add(1)
			l.log.Info("track sent a second time", "kind", key.kind.String(), "codec", key.codec, "running", same.codec)
			return
		}
	}
}

func (m *member) agreedElsewhere(l *leg, key sourceKey) bool {
	return slices.ContainsFunc(m.room.order, func(other *leg) bool {
		return other != l && other.client == m && other.codecs[jsep.Kind(key.kind.String())] == key.codec &&
			slices.ContainsFunc(other.pubs[:], func(p publication) bool { return p.source != nil && p.source.key == key })
	})
}

// unsupportedKey tells the cases apart of which both members are told once.
type unsupportedKey struct {
	pair   [2]string
	screen bool
	kind   jsep.Kind
}

// checkUnsupported tells both members of a call that they share no codec.
func (l *leg) checkUnsupported(desc *jsep.Description) {
	for i := range desc.Sections {
		s := &desc.Sections[i]
		if s.Kind == jsep.Application || l.codecs[s.Kind] != "" || s.Rejected && (len(s.Takes()) > 0 || len(l.offered[s.Kind]) == 0) {
			continue
		}
		r, a, b := l.room, l.key.client, l.key.peer
		key := unsupportedKey{[2]string{min(a, b), max(a, b)}, l.key.screen, s.Kind}
		if r.unsupported[key] {
			continue
		}
		r.unsupported[key] = true
		r.engine.count.unsupported.Add(1)
		l.log.Warn("no codec in common", "kind", string(s.Kind), "client_takes", l.client.named(s.Kind), "peer_takes", r.members[b].named(s.Kind))
		if out := r.engine.outbox; out != nil {
			reason := fmt.Sprintf("no %s codec in common", s.Kind)
			out.Unsupported(r.id, a, b, l.key.screen, string(s.Kind), reason)
			out.Unsupported(r.id, b, a, l.key.screen, string(s.Kind), reason)
		}
	}
}

// named lists what is known of the codecs that a member takes, for the log.
func (m *member) named(kind jsep.Kind) string {
	if m == nil {
		return ""
	}
	var names []string
	for name, listed := range m.codecs(kind).names {
		if listed {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// onlyCodecs keeps the named codecs, in that order, with their retransmission
// formats in what the server offers.
func onlyCodecs(t *webrtc.RTPTransceiver, names []string) error {
	all := t.Sender().GetParameters().Codecs
	var kept []webrtc.RTPCodecParameters
	for _, name := range names {
		for _, c := range all {
			if !strings.EqualFold(c.MimeType, t.Kind().String()+"/"+name) {
				continue
			}
			kept = append(kept, c)
			apt := fmt.Sprintf("apt=%d", c.PayloadType)
			if i := slices.IndexFunc(all, func(rtx webrtc.RTPCodecParameters) bool {
				return strings.EqualFold(rtx.MimeType, webrtc.MimeTypeRTX) && rtx.SDPFmtpLine == apt
			}); i >= 0 {
				kept = append(kept, all[i])
			}
		}
	}
	return t.SetCodecPreferences(kept)
}
