package sfu

import (
	"slices"

	"skillsage/sfu/jsep"
)

// The slots of a leg: what one side can publish there and the other be shown.
// Both directions of a leg use the same four.
const (
	slotAudio      = iota // of the camera, or of the share on a screen leg
	slotVideo             //
	slotExtraAudio        // of a second stream on the same connection: a screen
	slotExtraVideo        // that a one-connection client added
	slots
)

func slotKind(slot int) jsep.Kind {
	if slot == slotAudio || slot == slotExtraAudio {
		return jsep.Audio
	}
	return jsep.Video
}

// streams tells the media streams of one connection apart over its life: the
// first is the camera, a second one beside it is a screen, and one that comes
// when the first has lost its picture is the camera, opened again.
type streams struct {
	primary, secondary string
}

// sent is what one media stream id sends in a description.
type sent struct {
	id           string
	audio, video string // mids, the first of each kind: further ones are clones
}

// assign returns the mid that fills each slot, empty for none.
func (s *streams) assign(desc *jsep.Description) [slots]string {
	list := sentStreams(desc)
	primary := find(list, s.primary)
	if primary == nil || primary.video == "" {
		if other := s.replacement(list, primary == nil && s.primary == ""); other != nil {
			primary = other
		}
	}
	if primary == nil && len(list) > 0 {
		primary = &list[0]
	}
	if primary == nil {
		return [slots]string{}
	}
	s.primary = primary.id
	secondary := find(list, s.secondary)
	if secondary == primary || (secondary != nil && secondary.video == "") {
		secondary = nil
	}
	for i := len(list) - 1; i >= 0 && secondary == nil; i-- {
		if other := &list[i]; other != primary && other.video != "" && primary.video != "" {
			secondary = other
		}
	}
	result := [slots]string{slotAudio: primary.audio, slotVideo: primary.video}
	s.secondary = ""
	if secondary != nil {
		s.secondary = secondary.id
		result[slotExtraAudio], result[slotExtraVideo] = secondary.audio, secondary.video
	}
	if result[slotAudio] == "" { // audio and video in a stream each
		for i := range list {
			if other := &list[i]; other != primary && other != secondary && other.audio != "" {
				result[slotAudio] = other.audio
				break
			}
		}
	}
	return result
}

// revive gives a slot whose track is dead the newest track of its kind that the
// client sent on being asked for it, whatever its stream id.
func revive(mids [slots]string, desc *jsep.Description, dead, asked map[string]bool) [slots]string {
	for _, slot := range []int{slotAudio, slotVideo} {
		if mids[slot] != "" && !dead[mids[slot]] {
			continue
		}
		for i := len(desc.Sections) - 1; i >= 0; i-- {
			section := &desc.Sections[i]
			if section.Kind == slotKind(slot) && asked[section.MID] && !dead[section.MID] &&
				section.Direction.Send && !section.Rejected && !slices.Contains(mids[:], section.MID) {
				mids[slot] = section.MID
				break
			}
		}
	}
	return mids
}

// replacement is the stream that takes the camera's place: the first one at the
// start, later the newest.
func (s *streams) replacement(list []sent, first bool) *sent {
	var newest *sent
	for i := range list {
		if list[i].video == "" || (list[i].id == s.secondary && s.secondary != "") {
			continue
		}
		if first {
			return &list[i]
		}
		newest = &list[i]
	}
	return newest
}

// id is the stream id under which a slot's track was published.
func (s *streams) id(slot int) string {
	if slot >= slotExtraAudio {
		return s.secondary
	}
	return s.primary
}

func find(list []sent, id string) *sent {
	for i := range list {
		if list[i].id == id {
			return &list[i]
		}
	}
	return nil
}

func sentStreams(desc *jsep.Description) []sent {
	var list []sent
	for i := range desc.Sections {
		section := &desc.Sections[i]
		if section.Rejected || !section.Direction.Send || section.Kind == jsep.Application {
			continue
		}
		id := section.Stream
		if id == "" {
			id = "-"
		}
		stream := find(list, id)
		if stream == nil {
			list = append(list, sent{id: id})
			stream = &list[len(list)-1]
		}
		switch {
		case section.Kind == jsep.Audio && stream.audio == "":
			stream.audio = section.MID
		case section.Kind == jsep.Video && stream.video == "":
			stream.video = section.MID
		}
	}
	return list
}
