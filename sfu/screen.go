package sfu

import "time"

// A sharer's client usually calls every viewer itself; only after callDelay is
// a running share offered to those it did not call. Viewers are told of its end by
// an offer only after endDelay: many pages close their connection when they hear
// of it by event, and would answer an offer that crosses that from a new one.
const (
	endDelay       = 400 * time.Millisecond
	callDelay      = 1500 * time.Millisecond
	pullDelay      = 500 * time.Millisecond
	maxViewerCalls = 5 // for one viewer of one sharer, against a client that keeps closing
	// viewedFor is how long a viewer's connection must have been up until earlier calls count no more.
	viewedFor = 30 * time.Second
)

// onScreenShareStatus takes a member's word on its share. "Off" comes before,
// with or without the end of its connections.
func (r *room) onScreenShareStatus(id string, sharing bool) {
	m := r.members[id]
	if m == nil {
		return
	}
	m.sharing = shareOff
	if sharing {
		m.sharing = shareOn
	}
	r.settle()
}

// offerScreens shows running shares to members that came late, or came back,
// and are in a call with the sharer.
func (r *room) offerScreens() {
	for _, sharer := range r.everyone {
		if !r.shares(sharer) {
			r.pullScreen(sharer)
			continue
		}
		sharer.shareLost = time.Time{}
		if sharer.shareSince.IsZero() {
			sharer.shareSince = time.Now()
		}
		if time.Since(sharer.shareSince) < callDelay {
			continue
		}
		for _, viewer := range r.everyone {
			key := legKey{viewer.id, sharer.id, true}
			camera := r.legs[legKey{viewer.id, sharer.id, false}]
			if viewer == sharer || camera == nil || !camera.connected || r.legs[key] != nil || r.viewers[key] >= maxViewerCalls {
				continue
			}
			r.viewers[key]++
			if l := r.leg(key); l != nil {
				l.wantFirst = true
			}
		}
	}
}

// forgiveViewer forgets the calls that came before a connection that lasts.
func (l *leg) forgiveViewer(now time.Time) {
	if l.key.screen && l.connected && now.Sub(l.connectedAt) > viewedFor {
		delete(l.room.viewers, l.key)
	}
}

// pullScreen asks for a share whose last connection went with the viewer that it
// was made for: offered a share connection, the sharer's client adds its screen.
func (r *room) pullScreen(sharer *member) {
	if sharer.sharing != shareOn || sharer.shareSince.IsZero() {
		sharer.shareSince, sharer.shareLost = time.Time{}, time.Time{}
		return
	}
	if sharer.shareLost.IsZero() {
		sharer.shareLost = time.Now() // a client that stops closes first and says so then
	}
	if time.Since(sharer.shareLost) < pullDelay {
		return
	}
	sharer.shareSince, sharer.shareLost = time.Time{}, time.Time{}
	for _, viewer := range r.order {
		key := viewer.key.opposite()
		if viewer.key.peer != sharer.id || !key.screen || r.legs[key] != nil || r.viewers[key] >= maxViewerCalls {
			continue
		}
		r.viewers[key]++
		if l := r.leg(key); l != nil {
			l.wantFirst = true
		}
		return
	}
}

// shares tells whether a share of the member's can be seen, or in a moment: not one
// whose only offers have waited for a while, for sockets that may never answer.
func (r *room) shares(m *member) bool {
	if m.sharing == shareOff {
		return false
	}
	for _, l := range r.order {
		if l.client == m && l.key.screen && l.pubs[slotVideo].source != nil && (l.conn != nil || time.Since(l.heldSince) < callDelay) {
			return true
		}
	}
	return false
}
