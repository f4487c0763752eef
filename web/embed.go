// Package web holds the pages that the server shows to browsers.
package web

import (
	"embed"
	"io/fs"
)

// The folders are kept in the repository empty, so that the module compiles before the pages have been built.
//
//go:embed all:app/dist all:player/dist
var dist embed.FS

// Assets returns the built room page, index.html at its root. It is false in a binary that was built without the page
// (`make web` builds it).
func Assets() (fs.FS, bool) {
	return pageIn(dist, "app/dist")
}

// Player returns the built page that lists and plays recordings, likewise.
func Player() (fs.FS, bool) {
	return pageIn(dist, "player/dist")
}

func pageIn(fsys fs.FS, dir string) (fs.FS, bool) {
	page, err := fs.Sub(fsys, dir)
	if err != nil {
		return nil, false
	}
	if _, err := fs.Stat(page, "index.html"); err != nil {
		return nil, false
	}
	return page, true
}
