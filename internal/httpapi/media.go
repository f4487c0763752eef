package httpapi

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"skillsage/recording/store"
)

// mediaTypes are those of the files that are given out, by the ends of their names. Nothing else in a recording's folder is.
var mediaTypes = map[string]string{
	".webm": "video/webm",
	".mkv":  "video/x-matroska",
	".mp4":  "video/mp4",
}

// mediaName is what files may be called: nothing that means anything to a file system or a header.
var mediaName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// serveMedia sends a media file of a recording, or the range of it that was asked for. With ?download browsers keep it.
func serveMedia(w http.ResponseWriter, r *http.Request, folder *store.Folder, name string) error {
	missing := &problem{http.StatusNotFound, "no-file", fmt.Sprintf("the recording has no media file %q", name)}
	kind := mediaTypes[path.Ext(name)]
	if kind == "" || !mediaName.MatchString(name) {
		return missing
	}
	root, err := folder.Root()
	if err != nil {
		return explain(err)
	}
	defer root.Close()
	// Lstat first: what is no regular file may not even be opened.
	if info, err := root.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return missing
	}
	file, err := root.Open(name)
	if err != nil {
		return missing
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("ETag", fmt.Sprintf(`"%x-%x"`, info.Size(), info.ModTime().UnixNano()))
	if r.URL.Query().Has("download") {
		h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%s"`, folder.ID(), name))
	}
	paced := &pacedWriter{ResponseWriter: w, control: http.NewResponseController(w)}
	http.ServeContent(paced, r, name, info.ModTime(), file)
	_ = paced.control.SetWriteDeadline(time.Time{}) // the next answer on this connection has its own
	return nil
}

// pacedWriter gives up a client that takes nothing for a long time. A player that has paused does that too, and asks again.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

const paceLimit = 2 * time.Minute

func (p *pacedWriter) Write(b []byte) (int, error) {
	// Where there are no deadlines, as in tests without a connection, there is nobody to wait for.
	_ = p.control.SetWriteDeadline(time.Now().Add(paceLimit))
	return p.ResponseWriter.Write(b)
}

// writeCompressed sends JSON that may be long and repeats itself: each keystroke in the shared code is all of it again.
func writeCompressed(w http.ResponseWriter, r *http.Request, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Vary", "Accept-Encoding")
	var to io.Writer = w
	if acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		zip, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // fails for other levels only
		defer zip.Close()
		to = zip
	}
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	// A client that has gone away is no concern of ours.
	_ = encoder.Encode(body)
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return !strings.HasPrefix(strings.ReplaceAll(weight, " ", ""), "q=0") || strings.ContainsAny(weight, "123456789")
		}
	}
	return false
}
