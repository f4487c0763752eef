package delivery

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"skillsage/recording"
	"skillsage/recording/command"
	"skillsage/recording/durable"
	"skillsage/recording/manifest"
	"skillsage/recording/store"
	"skillsage/recording/upload"
)

// job sees to one recording, on one goroutine.
type job struct {
	*Delivery
	folder *store.Folder
	log    *slog.Logger
	wake   chan struct{} // holds one
	ended  atomic.Bool   // the recording has
	state  state
}

// poke has the job look again.
func (j *job) poke() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// run does what is to be done for the recording, until that is all or the delivery ends.
func (j *job) run() {
	if !j.begun() || !j.must("reading what has been done for it", j.load) || !j.state.Done.IsZero() {
		return
	}
	m := j.finished()
	if m == nil {
		return
	}
	j.ended.Store(true)
	files := j.files(m)
	if !j.upload(files) ||
		!j.must("telling of it", j.tellStarted) ||
		!j.must("telling of it", func() error { return j.tell(eventOf(m), m) }) ||
		!j.runCommand(m) {
		return
	}
	j.log.Debug("everything is done for it")
	if j.opts.DeleteUploaded && j.opts.Upload != nil && j.state.Upload.Whole(files) && j.state.Command != commandFailed {
		if j.must("removing it", j.folder.Remove) {
			j.log.Info("recording is removed here, since it has been uploaded", "to", j.state.Upload.To)
			j.count.delivered.Add(1)
			j.count.deleted.Add(1)
		}
		return
	}
	done := func(s *state) { s.Done, s.Finished = time.Now().UTC().Truncate(time.Second), ending(m) }
	if j.must("noting what has been done for it", func() error { return j.change(done) }) {
		j.count.delivered.Add(1)
	}
}

// ending is when the recording has ended.
func ending(m *manifest.Manifest) time.Time {
	if m.Finished != nil {
		return *m.Finished
	}
	return m.Started.Add(m.Duration.Duration())
}

// must does something that has to succeed; false: the delivery has ended, or there is no such recording any more.
func (j *job) must(what string, try func() error) bool {
	return j.untilDone(j.log, what, j.gone, try)
}

// gone tells whether the recording has been removed.
func (j *job) gone() bool {
	root, err := j.folder.Root()
	if err == nil {
		_ = root.Close()
	}
	return errors.Is(err, store.ErrNotFound)
}

// inFolder does something with the open folder.
func (j *job) inFolder(do func(*os.Root) error) error {
	root, err := j.folder.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	return do(root)
}

func (j *job) load() error {
	return j.inFolder(func(root *os.Root) error {
		if err := durable.CleanUp(root, "."); err != nil { // of an earlier process
			return err
		}
		s, err := readState(root)
		j.state = s
		return err
	})
}

// change changes what is on disk, and only with it what the job goes by.
func (j *job) change(how func(*state)) error {
	next := j.state
	how(&next)
	err := j.inFolder(func(root *os.Root) error { return writeState(root, next) })
	if err == nil {
		j.state = next
	}
	return err
}

// tell hands an event to the webhooks, once.
func (j *job) tell(kind recording.EventType, m *manifest.Manifest) error {
	if j.hooks == nil || slices.Contains(j.state.Told, kind) {
		return nil
	}
	message, err := j.message(kind, m)
	if err != nil {
		return err
	}
	if err := j.hooks.Add(message); err != nil {
		return err
	}
	return j.change(func(s *state) { s.Told = append(slices.Clip(s.Told), kind) })
}

func (j *job) tellStarted() error {
	if j.hooks == nil || slices.Contains(j.state.Told, recording.EventStarted) {
		return nil
	}
	return j.inFolder(func(root *os.Root) error {
		m, err := manifest.Read(root)
		if err != nil {
			return err
		}
		return j.tell(recording.EventStarted, m)
	})
}

// finished tells that the recording has begun, waits until it has ended, and gives its manifest without the events; nil: the
// delivery has ended, or there is no such recording any more.
func (j *job) finished() *manifest.Manifest {
	said := false
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		// Where it can't be told now it will be, but before the end at the latest.
		errTell := j.tellStarted()
		m, err := j.manifest()
		if m != nil {
			return m
		}
		if err == nil {
			err = errTell
		}
		if err != nil && j.gone() {
			return nil
		}
		// A recording that has just been begun may have no manifest yet.
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !said {
			j.log.Error("the recording can't be followed yet", "error", err)
			said = true
		}
		select {
		case <-j.wake:
		case <-ticker.C:
		case <-j.ctx.Done():
			return nil
		}
	}
}

// manifest gives that of a recording that has ended; nil without an error: it has not.
func (j *job) manifest() (m *manifest.Manifest, err error) {
	if unfinished, err := j.folder.Unfinished(); err != nil || unfinished {
		return nil, err
	}
	err = j.inFolder(func(root *os.Root) error {
		m, err = manifest.Read(root)
		return err
	})
	if err != nil || m.State == manifest.Recording {
		return nil, err
	}
	m.Events = nil // there may be many, and nobody here needs them
	return m, nil
}

// upload brings the files to the bucket, however long it takes: until then nobody is told that they are there.
func (j *job) upload(files upload.Folder) bool {
	if j.opts.Upload == nil {
		return true
	}
	if j.state.Upload == nil {
		j.state.Upload = new(upload.State)
	}
	begin := time.Now()
	before := j.state.Upload.Size()
	ok := j.must("uploading it", func() error {
		select {
		case j.uploads <- struct{}{}:
			defer func() { <-j.uploads }()
		case <-j.ctx.Done():
			return j.ctx.Err()
		}
		err := j.inFolder(func(root *os.Root) error {
			files.Root = root
			if err := j.opts.Upload.Upload(j.ctx, files, j.state.Upload, j.save); err != nil {
				return err
			}
			return j.save() // the last time may have failed, and the file needed no second attempt
		})
		if err != nil && j.ctx.Err() == nil {
			j.count.uploadFailures.Add(1)
		}
		return err
	})
	if sent := j.state.Upload.Size() - before; ok && sent > 0 {
		j.count.uploaded.Add(1)
		j.count.uploadedBytes.Add(uint64(sent))
		j.log.Info("recording is uploaded", "to", j.state.Upload.To, "bytes", sent, "took", time.Since(begin).Round(time.Millisecond))
	}
	return ok
}

// save writes what the upload has changed.
func (j *job) save() error { return j.change(func(*state) {}) }

// runCommand runs the operator's program. A failure is tried again a few times and then left to the operator.
func (j *job) runCommand(m *manifest.Manifest) bool {
	for j.opts.Command != nil && j.state.Command == "" {
		err := j.opts.Command.Run(j.ctx, j.folder.ID(), j.folder.Path(), j.variables(m))
		if errors.Is(err, command.ErrStopped) || j.gone() {
			return false
		}
		attempts := j.state.Attempts + 1
		last := err != nil && attempts >= j.opts.Attempts
		note := func(s *state) {
			s.Attempts = attempts
			switch {
			case err == nil:
				s.Command = commandDone
			case last:
				s.Command = commandFailed
			}
		}
		if !j.must("noting what has been done for it", func() error { return j.change(note) }) {
			return false
		}
		switch {
		case last:
			j.count.commandsGivenUp.Add(1)
			j.log.Error("the program for it has failed, and is not run again", "attempts", attempts, "error", err)
		case err != nil:
			wait := j.opts.Retry.After(attempts)
			j.log.Warn("the program for it has failed", "attempt", attempts, "again", wait.Round(time.Second), "error", err)
			if !j.sleep(wait) {
				return false
			}
		}
	}
	return true
}

// variables are what the operator's program is told.
func (j *job) variables(m *manifest.Manifest) []string {
	uploaded := ""
	if j.state.Upload != nil {
		uploaded = j.state.Upload.To
	}
	return []string{
		"RECORDING_EVENT=" + string(eventOf(m)),
		"RECORDING_ID=" + j.folder.ID(),
		"RECORDING_INTERVIEW=" + m.Interview,
		"RECORDING_FOLDER=" + absolute(j.folder.Path()),
		"RECORDING_MANIFEST=" + absolute(j.folder.Path()) + string(os.PathSeparator) + manifest.Name,
		"RECORDING_UPLOADED=" + uploaded,
	}
}
