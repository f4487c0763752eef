package web

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestPageIsOnlyThereWhenBuilt(t *testing.T) {
	if _, ok := pageIn(fstest.MapFS{"app/dist/.gitkeep": {}}, "app/dist"); ok {
		t.Error("an empty folder passed for a page")
	}
	page, ok := pageIn(fstest.MapFS{"app/dist/index.html": {Data: []byte("<!doctype html>")}}, "app/dist")
	if !ok {
		t.Fatal("a built page was not found")
	}
	if _, err := fs.ReadFile(page, "index.html"); err != nil {
		t.Error(err)
	}
}

// The server's content security policy is 'self': what the build refers to must be in the build, and nothing inline.
func TestBuiltPagesAreSelfContained(t *testing.T) {
	for name, built := range map[string]func() (fs.FS, bool){"room": Assets, "player": Player} {
		t.Run(name, func(t *testing.T) {
			page, ok := built()
			if !ok {
				t.Log("the page has not been built; nothing to look at")
				return
			}
			selfContained(t, page)
		})
	}
}

func selfContained(t *testing.T, page fs.FS) {
	html, err := fs.ReadFile(page, "index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"http://", "https://", "<style", "javascript:"} {
		if strings.Contains(string(html), bad) {
			t.Errorf("index.html contains %q", bad)
		}
	}
	for _, attribute := range []string{`src="`, `href="`} {
		for _, rest := range strings.Split(string(html), attribute)[1:] {
			name, _, _ := strings.Cut(rest, `"`)
			if _, err := fs.Stat(page, strings.TrimPrefix(name, "./")); err != nil {
				t.Errorf("index.html refers to %s: %v", name, err)
			}
		}
	}
}
