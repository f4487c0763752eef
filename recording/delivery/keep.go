package delivery

import (
	"errors"
	"time"

	"skillsage/recording/retention"
	"skillsage/recording/store"
)

// scan finds recordings for which something has to be done, whatever has kept others from telling of them.
func (d *Delivery) scan() {
	for _, folder := range d.list() {
		if d.ctx.Err() != nil {
			return
		}
		// One that can't be read gets a job too, which says so.
		if s, err := stateOf(folder); err != nil || s.Done.IsZero() {
			d.job(folder)
		}
	}
}

func (d *Delivery) list() []*store.Folder {
	folders, err := d.opts.Store.List()
	if err != nil {
		d.log.Error("recordings can't be listed", "error", err)
	}
	return folders
}

func stateOf(folder *store.Folder) (state, error) {
	root, err := folder.Root()
	if err != nil {
		return state{}, err
	}
	defer root.Close()
	return readState(root)
}

// keep removes what the policy keeps no longer.
func (d *Delivery) keep() {
	if d.opts.Keep == (retention.Policy{}) {
		return
	}
	_, total, err := d.opts.Store.Space()
	if err != nil {
		d.log.Error("recordings are kept, whatever their age: the size of the disk is not known", "error", err)
		return
	}
	var all []retention.Recording[*store.Folder]
	for _, folder := range d.list() {
		if d.ctx.Err() != nil {
			return
		}
		size, err := folder.Size()
		if err != nil {
			continue // removed meanwhile
		}
		all = append(all, retention.Recording[*store.Folder]{It: folder, Size: size, Finished: d.free(folder)})
	}
	for _, r := range retention.Removals(d.opts.Keep, all, total, time.Now()) {
		if d.ctx.Err() != nil {
			return
		}
		d.expire(r)
	}
}

// free is when a recording has ended for which nothing is to be done any more; zero: there is something.
func (d *Delivery) free(folder *store.Folder) time.Time {
	s, err := stateOf(folder)
	if err != nil || s.Done.IsZero() || d.hooks != nil && d.hooks.Waiting(folder.ID()) {
		return time.Time{}
	}
	return s.Finished
}

func (d *Delivery) expire(r retention.Removal[*store.Folder]) {
	log := d.log.With("recording", r.It.ID(), "reason", r.Reason)
	switch err := r.It.Remove(); {
	case errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrNotFound):
		return // somebody works with it, or it is gone
	case err != nil:
		log.Error("recording can't be removed", "error", err)
		return
	}
	log.Info("recording is removed", "finished", r.Finished.Format(time.RFC3339), "bytes", r.Size)
	d.count.freed.Add(uint64(r.Size))
	if r.Reason == retention.ByAge {
		d.count.expired.Add(1)
	} else {
		d.count.displaced.Add(1)
	}
}
