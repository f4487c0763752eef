package retention

import (
	"strings"
	"testing"
	"time"
)

func TestRemovals(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	all := []Recording[string]{ // 100 bytes each
		{"b", 100, ago(3)},
		{"running", 100, time.Time{}},
		{"a", 100, ago(4)},
		{"d", 100, ago(1)},
		{"c", 100, ago(2)},
	}
	for _, c := range []struct {
		name   string
		policy Policy
		total  uint64
		want   string
	}{
		{"everything stays", Policy{}, 100, ""},
		{"age", Policy{Age: 2 * time.Hour}, 100, "a:age b:age"},
		{"share, just so", Policy{Share: 0.5}, 1000, ""},
		{"share, one byte less", Policy{Share: 0.5}, 999, "a:share"},
		{"share, less than what runs", Policy{Share: 0.01}, 1000, "a:share b:share c:share d:share"},
		{"share counts what is gone by age", Policy{Age: 3*time.Hour + time.Minute, Share: 0.4}, 1000, "a:age"},
		{"both", Policy{Age: 3*time.Hour + time.Minute, Share: 0.3}, 1000, "a:age b:share"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, r := range Removals(c.policy, all, c.total, now) {
				got = append(got, r.It+":"+string(r.Reason))
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("%q, want %q", text, c.want)
			}
		})
	}
	if all[0].It != "b" {
		t.Error("the list was sorted")
	}
}
