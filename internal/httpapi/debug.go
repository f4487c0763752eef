package httpapi

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"skillsage/sfu"
)

const (
	snapshotTimeout = 2 * time.Second        // rooms answer within microseconds, if at all
	snapshotLife    = 500 * time.Millisecond // however often somebody asks
	maxRoomsShown   = 100
)

// debugPage shows what the relay does at this moment.
type debugPage struct {
	relay      RelayStats // nil without a media relay
	recordings bool       // there is a page of recordings
	version    string

	mu    sync.Mutex // held while rooms are asked
	last  []sfu.RoomStats
	asked time.Time
}

func (p *debugPage) snapshot(ctx context.Context) ([]sfu.RoomStats, error) {
	if p.relay == nil {
		return []sfu.RoomStats{}, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.asked) < snapshotLife {
		return p.last, nil
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	rooms, err := p.relay.Snapshot(ctx)
	if err == nil {
		p.last, p.asked = rooms, time.Now()
	}
	return rooms, err
}

func (p *debugPage) json(w http.ResponseWriter, r *http.Request) {
	rooms, err := p.snapshot(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// A client that has gone away is no concern of ours.
	_ = json.NewEncoder(w).Encode(map[string]any{"version": p.version, "time": time.Now().UTC(), "rooms": rooms})
}

//go:embed debug.css
var debugStyle []byte

func (p *debugPage) style(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "style.css", time.Time{}, bytes.NewReader(debugStyle))
}

//go:embed debug.html
var debugText string

var debugTemplate = template.Must(template.New("debug").Funcs(template.FuncMap{
	"rate": formatRate, "ms": formatMillis, "loss": formatLoss, "count": formatCount, "age": formatAge, "short": shortID,
}).Parse(debugText))

type debugView struct {
	Version    string
	Time       string
	Refresh    int // s; 0: not by itself
	Relay      bool
	Recordings bool
	Stats      sfu.Stats
	Goroutines int
	Connected  int
	Rooms      []roomView
	Hidden     int // rooms that are not shown
	Only       string
}

type roomView struct {
	sfu.RoomStats
	Roles map[string]string // of members, by id
}

func (p *debugPage) html(w http.ResponseWriter, r *http.Request) {
	rooms, err := p.snapshot(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	view := debugView{Version: p.version, Time: time.Now().UTC().Format("15:04:05 UTC"), Goroutines: runtime.NumGoroutine(), Relay: p.relay != nil, Recordings: p.recordings, Only: r.URL.Query().Get("room")}
	if n, err := strconv.Atoi(r.URL.Query().Get("refresh")); err == nil && n >= 1 && n <= 3600 {
		view.Refresh = n
	}
	if p.relay != nil {
		view.Stats = p.relay.Stats()
	}
	for _, room := range rooms {
		roles := make(map[string]string, len(room.Members))
		for _, m := range room.Members {
			roles[m.ID] = m.Role
			for _, l := range m.Legs {
				if l.State == sfu.LegConnected || l.State == sfu.LegLost {
					view.Connected++
				}
			}
		}
		switch {
		case view.Only != "" && room.ID != view.Only:
		case len(view.Rooms) == maxRoomsShown:
			view.Hidden++
		default:
			view.Rooms = append(view.Rooms, roomView{room, roles})
		}
	}
	var body bytes.Buffer
	if err := debugTemplate.Execute(&body, view); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = body.WriteTo(w)
}

const unknown = "–"

func formatRate(bits uint64) string {
	switch {
	case bits == 0:
		return unknown
	case bits < 1_000_000:
		return fmt.Sprintf("%.0f kbit/s", float64(bits)/1e3)
	}
	return fmt.Sprintf("%.2f Mbit/s", float64(bits)/1e6)
}

func formatMillis(ms float64) string {
	switch {
	case ms <= 0:
		return unknown
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

func formatLoss(loss *float64) string {
	if loss == nil {
		return unknown
	}
	return fmt.Sprintf("%.1f %%", *loss*100)
}

func formatCount(n uint64) string {
	if n == 0 {
		return unknown
	}
	return strconv.FormatUint(n, 10)
}

func formatAge(ms float64) string {
	if ms <= 0 {
		return unknown
	}
	return (time.Duration(ms) * time.Millisecond).Round(time.Second).String()
}

// shortID is enough of an id to tell the members of a room apart.
func shortID(id string) string {
	if len(id) > 6 {
		return id[:6]
	}
	return id
}
