package sfu

import (
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/bwe"
	"skillsage/sfu/jsep"
	"skillsage/sfu/media"
)

// member is one socket of a room. Owned by the room's goroutine.
type member struct {
	room *room
	id   string
	role string

	// proven: it has answered or offered, so somebody with media is there. Until
	// then it gets one offer at a time: two at once make common clients open the
	// camera twice and keep the dead half.
	proven   bool
	polite   bool // it rolls its own offers back when the server's cross them
	offering *leg // holds the single slot of a member that is not proven

	alive  time.Time // when its signaling was last found to work
	probed time.Time // when that was last asked

	sharing    shareStatus
	shareSince time.Time // a picture of the share has been published since
	shareLost  time.Time // none is published any more since
	sources    []*source
	link       bwe.Shared // towards the member
	takes      map[jsep.Kind]*takes
	published  int                    // sources ever
	shown      map[tapKey]shownSource // what the room's tappers know of, if there are any
	clock      media.Publisher
}

// shareStatus is what a member last said with screen-share-status.
type shareStatus int

const (
	shareUnsaid shareStatus = iota
	shareOn
	shareOff
)

// sourceKey tells sources of one member apart. Never by track id: a browser may
// write another one on each connection for the same track.
type sourceKey struct {
	screen bool
	stream string
	kind   webrtc.RTPCodecType
	codec  string
	small  bool // uploaded beside the common one, for viewers with little bandwidth
}

// common is the key of the source that most viewers are shown.
func (k sourceKey) common() sourceKey {
	k.small = false
	return k
}

// source is one published track, which its member would send on several legs and
// sends on one of them.
type source struct {
	key      sourceKey
	number   int // counts those of the member
	member   *member
	media    *media.Source
	uploader *leg            // on which the client is told to send it; nil: not chosen yet
	carrier  *media.Upstream // whose packets are forwarded
	lost     time.Time       // when its uploader's client closed that connection
	screen   bool
	before   Counts // at its last sample

	// What is published, as last measured.
	layers  []media.LayerInfo
	rate    uint64     // bit/s on the wire; 0: nothing
	full    uint64     // when nothing held it back, or since
	base    uint64     // of the lowest layer
	spatial int8       // the highest simulcast layer
	cap     uint64     // what its publisher is held to
	panel   []*viewing // who is shown it; empty but during adapt

	ballot ballot // member.elect's
}

func newMember(r *room, id, role string) *member {
	return &member{room: r, id: id, role: role, takes: make(map[jsep.Kind]*takes), shown: make(map[tapKey]shownSource)}
}

func (m *member) close() {
	for _, s := range m.sources {
		s.media.SetCarrier(nil)
		m.room.retire(s)
	}
	m.sources = nil
}

// source is the one with that key, nil if there is none.
func (m *member) source(key sourceKey) *source {
	for _, s := range m.sources {
		if s.key == key {
			return s
		}
	}
	return nil
}

// publish works out what a leg's latest description publishes.
func (m *member) publish(l *leg) {
	desc := l.description()
	if desc == l.published {
		return
	}
	l.published = desc
	hadVideo := l.pubs[slotVideo].source != nil
	defer func() { l.noteCamera(hadVideo) }()
	l.pubs = [slots]publication{}
	if desc == nil {
		return
	}
	desc = l.intended(desc)
	for slot, mid := range revive(l.streams.assign(desc), desc, l.dead, l.asked) {
		section := desc.Section(mid)
		if section == nil {
			continue
		}
		codec := l.codec(section)
		if codec == nil {
			continue
		}
		stream := section.Stream
		if stream == "" {
			stream = "leg " + l.key.peer // nothing says that other legs carry the same
		}
		key := sourceKey{l.key.screen, stream, kindOf(section.Kind), codec.Name, l.small && slot == slotVideo}
		s := m.source(key)
		if s == nil {
			screen := key.screen || slot >= slotExtraAudio
			m.published++
			s = &source{key: key, number: m.published, screen: screen, member: m, cap: unlimited, media: media.NewSource(media.SourceOptions{Kind: key.kind, Screen: screen})}
			m.sources = append(m.sources, s)
			if !key.small {
				m.countSecond(l, key)
			}
		}
		l.pubs[slot] = publication{source: s, mid: mid, stream: l.streams.id(slot), track: section.Track}
	}
	if l.key.screen && l.pubs[slotVideo].source != nil && m.sharing == shareOff && l.held != nil {
		m.sharing = shareUnsaid // a new offer with a picture says more than the last status
	}
}

func kindOf[K ~string](kind K) webrtc.RTPCodecType { return webrtc.NewRTPCodecType(string(kind)) }
