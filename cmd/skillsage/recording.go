package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"skillsage/config"
	"skillsage/internal/httpapi"
	"skillsage/recording"
	"skillsage/recording/delivery"
	"skillsage/recording/manifest"
	"skillsage/recording/store"
	"skillsage/signaling"
	"skillsage/web"
)

// finishTime is how long the end may take longer where recordings have to be finished.
const finishTime = 5 * time.Second

// followTime is the same for what follows recordings, most of which is left to the next start.
const followTime = time.Second

// recordings is who records interviews, and where. The zero value records nothing, and has nothing of earlier either.
type recordings struct {
	on       bool                // something may be recorded; else there is what was recorded earlier
	store    *store.Store        // nil if there is not
	recorder *recording.Recorder // nil like store
	delivery *delivery.Delivery  // what follows them; nil like store, and for earlier ones where it can't be done
	pages    *httpapi.Recordings // likewise
}

// startRecordings begins to record what the configuration asks for, sees to what earlier processes have recorded, and makes the
// pages that show it; the relay is there.
func (s *server) startRecordings(cfg *config.Config) error {
	c := cfg.Recording
	s.recordings.on = c.On()
	var err error
	if c.On() {
		err = s.openStore(c)
	} else {
		s.recordings.store = earlier(c)
	}
	if err != nil || s.recordings.store == nil {
		return err
	}
	if err := s.startRecorder(cfg); err != nil {
		return err
	}
	if err := s.recordings.makePages(c); err != nil {
		if c.On() {
			return err
		}
		s.log.Error("earlier recordings can't be watched", "error", err)
	}
	return nil
}

func (s *server) openStore(c config.Recording) (err error) {
	if s.recordings.store, err = store.Open(c.Dir); err == nil {
		err = writable(c.Dir)
	}
	if err != nil {
		return fmt.Errorf("recordings can't be kept in %s (recording.dir chooses the folder): %w", absolute(c.Dir), err)
	}
	return nil
}

// earlier opens a store in which there are recordings already, or messages about them; nil if there is none.
func earlier(c config.Recording) *store.Store {
	if info, err := os.Stat(c.Dir); c.Dir == "" || err != nil || !info.IsDir() {
		return nil
	}
	folders, err := store.Open(c.Dir)
	if err != nil {
		return nil
	}
	if all, _ := folders.List(); len(all) == 0 && !(len(c.WebhookURLs) > 0 && delivery.MessagesWait(folders)) {
		_ = folders.Close()
		return nil
	}
	return folders
}

// makePages makes what recordings are watched and steered with. The store and the recorder are there.
func (r *recordings) makePages(c config.Recording) error {
	secret := []byte(c.LinkSecret)
	if len(secret) == 0 {
		var err error
		if secret, err = httpapi.OpenLinkSecret(c.Dir); err != nil {
			return fmt.Errorf("the secret of links to recordings can't be kept in %s (recording.link_secret names one instead): %w", absolute(c.Dir), err)
		}
	}
	options := httpapi.RecordingsOptions{Store: r.store, Links: httpapi.NewLinks(secret, c.LinkTTL), URL: c.LinkURL}
	if r.on {
		options.Recorder = r.recorder
	}
	if player, built := web.Player(); built {
		options.Player = player
	}
	r.pages = httpapi.NewRecordings(options)
	return nil
}

// watch is what the public listener shows of recordings; nil: nothing.
func (r *recordings) watch() http.Handler {
	if r.pages == nil {
		return nil
	}
	return r.pages.Watch()
}

// startRecorder begins to record, or only to finish what was recorded earlier. The store is there.
func (s *server) startRecorder(cfg *config.Config) error {
	c, r := cfg.Recording, &s.recordings
	onEvent := func(recording.Event) {}
	var err error
	if r.delivery, err = s.startDelivery(cfg); err == nil {
		onEvent = r.delivery.Handle
	} else if r.on {
		return err
	} else {
		s.log.Error("nothing follows earlier recordings", "error", err)
	}
	options := recording.Options{
		Store:       r.store,
		Mode:        recording.Mode(c.Mode),
		Consent:     manifest.ConsentPolicy(c.Consent),
		MinFree:     uint64(c.MinFree),
		MaxDuration: c.MaxDuration,
		Relayed:     s.relayed,
		Notify: func(room string, status recording.Status) {
			s.signaling.RecordingStatus(room, recordingStatus(c.Mode, status))
		},
		OnEvent: onEvent,
		Logger:  s.log,
	}
	if r.on {
		options.Media = recording.FromEngine(s.engine)
	}
	if r.recorder, err = recording.New(options); err != nil || !r.on {
		return err
	}
	told := signaling.Recording{
		Idle: recordingStatus(c.Mode, recording.Status{State: recording.Off, Consent: manifest.ConsentPolicy(c.Consent)}),
	}
	if c.Consent != string(manifest.ConsentNone) {
		told.Started, told.Stopped = c.NoticeStarted, c.NoticeStopped
	}
	s.signaling.SetRecorder(recorder{r.recorder, c.Mode}, told)
	return nil
}

// startDelivery begins to do what follows recordings. The store is there.
func (s *server) startDelivery(cfg *config.Config) (*delivery.Delivery, error) {
	options, err := deliveryOptions(cfg, s.recordings.store, s.log)
	if err != nil {
		return nil, err
	}
	following, err := delivery.New(options)
	if err != nil && options.Upload != nil {
		_ = options.Upload.Close()
	}
	return following, err
}

// relayed has a room relayed, in the recorder's words.
func (s *server) relayed(room string) error {
	err := s.signaling.Relayed(room)
	if errors.Is(err, signaling.ErrNoRoom) {
		return recording.ErrNoRoom
	}
	return err
}

// writable tries whether files can be made in a folder.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".writable-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// absolute is a path as people can look for it.
func absolute(dir string) string {
	if whole, err := filepath.Abs(dir); err == nil {
		return whole
	}
	return dir
}

// finish ends all recordings while their members are still there to be told, and before their media end.
func (r *recordings) finish(ctx context.Context) error {
	var err error
	if r.recorder != nil {
		err = r.recorder.Close(ctx)
	}
	if r.delivery != nil {
		ctx, cancel := context.WithTimeout(context.Background(), followTime)
		defer cancel()
		err = errors.Join(err, r.delivery.Close(ctx))
	}
	if r.store != nil && err == nil { // else it is still in use
		err = r.store.Close()
	}
	return err
}

// recorder is a recording.Recorder as the signaling sees it. The two know each other by plain words; what one says to the other is
// translated here.
type recorder struct {
	*recording.Recorder
	mode string
}

func (r recorder) Start(room, by string) error { return refused(r.Recorder.Start(room, by)) }
func (r recorder) Stop(room, by string) error  { return refused(r.Recorder.Stop(room, by)) }

func (r recorder) Consent(room, member string, agreed bool) error {
	return refused(r.Recorder.Consent(room, member, agreed))
}

func (r recorder) Status(room string) signaling.RecordingStatus {
	return recordingStatus(r.mode, r.Recorder.Status(room))
}

// refused is a recorder's error in the words of the wire.
func refused(err error) error {
	var known *recording.Error
	if !errors.As(err, &known) {
		return err
	}
	code := string(known.Code)
	if known.Code == recording.CodeNoRoom {
		code = "no-such-room"
	}
	return &signaling.RecordingError{Code: code, Message: known.Message}
}

// recordingStatus is what members are told. The detail is not for them: it may hold paths of this machine.
func recordingStatus(mode string, s recording.Status) signaling.RecordingStatus {
	status := signaling.RecordingStatus{
		State: string(s.State), Mode: mode, Consent: string(s.Consent), Recording: s.Recording,
		Pending: s.Pending, Refused: s.Refused, Reason: string(s.Reason),
	}
	if !s.Since.IsZero() {
		since := s.Since.UTC().Truncate(time.Millisecond)
		status.Since = &since
	}
	return status
}
