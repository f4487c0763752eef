package sfu

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// inRoom runs a look at the room on its own goroutine.
func (c *call) inRoom(look func(*room)) {
	r := c.engine.room("room")
	if r == nil {
		return
	}
	done := make(chan struct{})
	r.inbox.push(func() {
		look(r)
		close(done)
	})
	<-done
}

// uploads lists the legs of a member on which a kind of media arrives, as
// "peer" or "peer screen".
func (c *call) uploads(id, kind string) (list []string) {
	c.inRoom(func(r *room) {
		for _, l := range r.order {
			for _, up := range l.upstreams {
				if l.key.client != id || up.Kind().String() != kind || time.Since(up.LastPacket()) > 500*time.Millisecond {
					continue
				}
				name := l.key.peer
				if l.key.screen {
					name += " screen"
				}
				list = append(list, name)
			}
		}
	})
	slices.Sort(list)
	return list
}

// sends tells on which connections a client's description lets it send video.
func (p *client) sends() (list []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, pc := range p.pcs {
		for _, t := range pc.GetTransceivers() {
			if t.Kind() == webrtc.RTPCodecTypeVideo && p.mayUse(pc, t.Mid()) {
				list = append(list, key.peer)
			}
		}
	}
	slices.Sort(list)
	return list
}

func (c *call) uploadsOnce(id, kind string, count int) (at []string) {
	c.t.Helper()
	since := time.Time{}
	c.eventually(fmt.Sprintf("%s uploads %d %s", id, count, kind), func() bool {
		at = c.uploads(id, kind)
		if len(at) != count {
			since = time.Time{}
		} else if since.IsZero() {
			since = time.Now()
		}
		return !since.IsZero() && time.Since(since) > 600*time.Millisecond
	})
	return at
}

// TestOneUploadForAPanel has three recruiters call one candidate: the candidate's
// legs are offered by the server, the recruiters' by the clients.
func TestOneUploadForAPanel(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	k := c.join("C", "candidate")
	recruiters := map[string]*client{}
	for _, id := range []string{"R1", "R2", "R3"} {
		recruiters[id] = c.join(id, "recruiter")
		recruiters[id].offer("C")
	}
	for _, r := range recruiters {
		r.gets("C")
		k.gets(r.id)
	}
	for round := range 2 {
		at := c.uploadsOnce("C", "video", 1)
		if audio := c.uploadsOnce("C", "audio", 1); !slices.Equal(audio, at) {
			t.Logf("voice is uploaded on %v, the picture on %v", audio, at)
		}
		if sends := k.sends(); !slices.Equal(sends, at) {
			t.Errorf("round %d: the client may send on %v, want %v alone", round, sends, at)
		}
		for _, r := range recruiters {
			r.gets("C")
		}
		// The one whose leg carries the upload goes: the others go on.
		recruiters[at[0]].leave()
		k.closeConnection(at[0], false)
		delete(recruiters, at[0])
		for _, r := range recruiters {
			r.gets("C")
		}
	}
}

// TestOneUploadOfAShare has the sharer's client call three viewers at once.
func TestOneUploadOfAShare(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	k := c.join("C", "candidate")
	var viewers []*client
	for _, id := range []string{"R1", "R2", "R3"} {
		r := c.join(id, "recruiter")
		r.offer("C")
		viewers = append(viewers, r)
	}
	for _, r := range viewers {
		r.gets("C")
	}
	c.engine.ScreenShareStatus("room", "C", true)
	for _, r := range viewers {
		pc := k.connection(clientKey{r.id, true}, false)
		k.addTracks(pc, "screen", "video")
		k.offerOn(clientKey{r.id, true}, false)
	}
	for _, r := range viewers {
		r.receives("C video screen", "C video")
	}
	at := c.uploadsOnce("C", "video", 2) // camera and screen
	screen := at[slices.IndexFunc(at, func(name string) bool { return strings.HasSuffix(name, " screen") })]
	peer := strings.TrimSuffix(screen, " screen")
	// The viewer for whom the share is uploaded goes.
	i := slices.IndexFunc(viewers, func(r *client) bool { return r.id == peer })
	viewers[i].leave()
	k.closeConnection(peer, true)
	k.closeConnection(peer, false)
	viewers = slices.Delete(viewers, i, i+1)
	for _, r := range viewers {
		r.receives("C video screen", "C video")
	}
	c.uploadsOnce("C", "video", 2)
}

// TestUploadOnEveryLeg is what pages get that send unlike content to each peer.
func TestUploadOnEveryLeg(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{UploadOnEveryLeg: true})
	k := c.join("C", "candidate")
	r1, r2 := c.join("R1", "recruiter"), c.join("R2", "recruiter")
	r1.offer("C")
	r2.offer("C")
	r1.gets("C")
	r2.gets("C")
	k.gets("R1")
	c.uploadsOnce("C", "video", 2)
}
