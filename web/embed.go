// Package web holds the room page that the server shows to browsers.
package web

import (
	"embed"
	"io/fs"
)

// The folder is kept in the repository empty, so that the module compiles before the page has been built.
//
//go:embed all:app/dist
var dist embed.FS

// Assets returns the built room page, index.html at its root. It is false in a binary that was built without the page
// (`make web` builds it).
func Assets() (fs.FS, bool) {
	return pageIn(dist)
}

func pageIn(fsys fs.FS) (fs.FS, bool) {
	page, err := fs.Sub(fsys, "app/dist")
	if err != nil {
		return nil, false
	}
	if _, err := fs.Stat(page, "index.html"); err != nil {
		return nil, false
	}
	return page, true
}
