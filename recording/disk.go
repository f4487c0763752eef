package recording

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"skillsage/recording/manifest"
)

// diskInterval is how often the space that is left is looked at.
const diskInterval = time.Second

// guardDisk ends all recordings when there is little space left.
func (r *Recorder) guardDisk(ctx context.Context) {
	ticker := time.NewTicker(diskInterval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		free, _, err := r.opts.Store.Space()
		if err != nil {
			if !failing {
				r.log.Error("the space left for recordings is not known", "error", err)
			}
			failing = true
			continue
		}
		failing = false
		r.free.Store(free)
		if !r.diskLow() {
			continue
		}
		r.mu.Lock()
		for _, iv := range r.interviews {
			iv.diskLow(fmt.Sprintf("%d MB are left on the disk for recordings, and %d MB are to stay free", free>>20, r.opts.MinFree>>20))
		}
		r.mu.Unlock()
	}
}

// diskLow tells whether there is too little space to record.
func (r *Recorder) diskLow() bool { return r.free.Load() < r.opts.MinFree }

// reasonOf is what an error of writing means to a recording.
func reasonOf(err error) manifest.Reason {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, full) {
			return manifest.Disk
		}
	}
	return manifest.Error
}
