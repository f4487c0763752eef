// Package web holds the room page as it was built, so that one binary serves everything.
package web

import (
	"embed"
	"io/fs"
)

// The folder holds no more than .gitkeep until the page has been built.
//
//go:embed all:app/dist
var dist embed.FS

// Assets returns the files of the built room page, index.html at their top, or false when the binary
// was compiled without them.
func Assets() (fs.FS, bool) {
	page, err := fs.Sub(dist, "app/dist")
	if err != nil {
		return nil, false
	}
	if _, err := fs.Stat(page, "index.html"); err != nil {
		return nil, false
	}
	return page, true
}
