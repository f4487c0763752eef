package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"skillsage/recording/compose"
)

func TestParseMoment(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "90": 90 * time.Second, "1m30s": 90 * time.Second, "1.5": 1500 * time.Millisecond,
		"1:30": 90 * time.Second, "0:01:30": 90 * time.Second, "1:00:00.25": time.Hour + 250*time.Millisecond,
	} {
		if got, err := parseMoment("from", text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"-1", "-1s", "x", "1:2:3:4", "1:", ":", "NaN", "1e30", "Inf"} {
		if got, err := parseMoment("from", text); err == nil || !strings.Contains(err.Error(), "--from") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestComposeCommand(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"compose"}, exitUsage, "takes the folder of one recording"},
		{[]string{"compose", "a", "b"}, exitUsage, "takes the folder of one recording"},
		{[]string{"compose", "a", "--size", "big"}, exitUsage, `"big" is not allowed; allowed: 1280x720`},
		{[]string{"compose", "a", "--from", "soon"}, exitUsage, `"soon" is not allowed`},
		{[]string{"compose", "a", "--colour"}, exitUsage, "colour"},
		{[]string{"compose", "--help"}, exitOK, "skillsage compose FOLDER"},
		{[]string{"compose", t.TempDir(), "-o", "out.gif"}, exitFailed, "does not end with .mp4 or .webm"},
	} {
		var out, errOut bytes.Buffer
		if code := run(c.args, nil, &out, &errOut); code != c.code || !strings.Contains(out.String()+errOut.String(), c.want) {
			t.Errorf("%q ends with %d and says %q%q", c.args, code, out.String(), errOut.String())
		}
	}
}

// TestProgressLines is what is written where no terminal is.
func TestProgressLines(t *testing.T) {
	var out bytes.Buffer
	bar := newProgressBar(&out)
	for done := time.Duration(0); done <= time.Minute; done += time.Second {
		bar.show(compose.Progress{Done: done, Total: time.Minute, Speed: 2})
	}
	bar.end()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 11 || lines[0] != "0 %  0s of 1m0s, 30s left" || lines[5] != "50 %  30s of 1m0s, 15s left" || lines[10] != "100 %  1m0s of 1m0s, 0s left" {
		t.Errorf("%q", lines)
	}
}
