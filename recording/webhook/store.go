package webhook

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"skillsage/recording/durable"
)

// The folders of the queue. Each file in them is one message for one URL, named by its number; it is written once and never changed.
const (
	WaitingDir = "queue" // below Options.Dir
	deadDir    = "dead"
	extension  = ".json"
)

// letter is one message for one URL. It is static but for failures, which belong to the attempt that runs.
type letter struct {
	number           uint64
	id, stream, kind string
	added            time.Time
	endpoint         *endpoint
	failures         int // since the queue was opened
}

// record is the content of a file.
type record struct {
	ID     string          `json:"id"`
	Stream string          `json:"stream"`
	Type   string          `json:"type"`
	URL    string          `json:"url"`
	Added  time.Time       `json:"added"`
	Body   json.RawMessage `json:"body"`
}

func fileName(number uint64) string { return fmt.Sprintf("%016x%s", number, extension) }

// fileNumber is the reverse of fileName.
func fileNumber(name string) (uint64, bool) {
	number, err := strconv.ParseUint(strings.TrimSuffix(name, extension), 16, 64)
	return number, err == nil && fileName(number) == name
}

// store writes the files of a message.
func (q *Queue) store(m Message, letters []*letter) error {
	for i, l := range letters {
		content, err := json.Marshal(record{m.ID, m.Stream, m.Type, l.endpoint.url, l.added, m.Body})
		if err == nil {
			err = durable.Put(q.opts.Dir, path.Join(WaitingDir, fileName(l.number)), content)
		}
		if err != nil {
			// What would be sent although Add has failed is no harm, but for the place that it takes.
			for _, written := range letters[:i] {
				err = errors.Join(err, q.opts.Dir.Remove(path.Join(WaitingDir, fileName(written.number))))
			}
			return err
		}
	}
	return durable.SyncDir(q.opts.Dir, WaitingDir)
}

// read gives the body of a letter.
func (q *Queue) read(l *letter) ([]byte, error) {
	r, err := q.readRecord(fileName(l.number))
	return r.Body, err
}

func (q *Queue) readRecord(name string) (r record, err error) {
	content, err := q.opts.Dir.ReadFile(path.Join(WaitingDir, name))
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	return r, err
}

// load reads the folder.
func (q *Queue) load() error {
	for _, dir := range []string{WaitingDir, deadDir} {
		if err := q.opts.Dir.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := durable.CleanUp(q.opts.Dir, dir); err != nil {
			return err
		}
	}
	if err := durable.SyncDir(q.opts.Dir, "."); err != nil {
		return err
	}
	numbers, err := q.numbers(deadDir)
	if err != nil {
		return err
	}
	// A number that is among the dead is not given again.
	if len(numbers) > 0 {
		q.last = numbers[len(numbers)-1]
	}
	if numbers, err = q.numbers(WaitingDir); err != nil {
		return err
	}
	for _, number := range numbers {
		q.last = max(q.last, number)
		if err := q.loadLetter(number); err != nil {
			return err
		}
	}
	return nil
}

// loadLetter takes up one file. What can't be delivered is kept among the dead.
func (q *Queue) loadLetter(number uint64) error {
	r, err := q.readRecord(fileName(number))
	if err == nil {
		i := slices.IndexFunc(q.endpoints, func(e *endpoint) bool { return e.url == r.URL })
		if i >= 0 {
			l := &letter{number: number, id: r.ID, stream: r.Stream, kind: r.Type, added: r.Added, endpoint: q.endpoints[i]}
			if q.queued[place{l.endpoint, l.id}] != nil {
				return q.opts.Dir.Remove(path.Join(WaitingDir, fileName(number)))
			}
			q.keep(l)
			l.endpoint.add(l)
			return nil
		}
		err = errors.New("the configuration does not have its URL any more")
	}
	if errMove := q.moveToDead(number); errMove != nil {
		return errors.Join(err, errMove)
	}
	q.dead.Add(1)
	q.opts.Logger.Error("webhook given up", "id", r.ID, "file", path.Join(deadDir, fileName(number)), "error", err)
	return nil
}

// numbers lists the files of a folder, the oldest first. Others than the queue's own are left alone.
func (q *Queue) numbers(dir string) ([]uint64, error) {
	files, err := fs.ReadDir(q.opts.Dir.FS(), dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, file := range files {
		if number, ok := fileNumber(file.Name()); ok {
			numbers = append(numbers, number)
		}
	}
	slices.SortFunc(numbers, cmp.Compare)
	return numbers, nil
}

// moveToDead keeps a file for the operator, and removes the oldest of those that are too many.
func (q *Queue) moveToDead(number uint64) error {
	name := fileName(number)
	if err := q.opts.Dir.Rename(path.Join(WaitingDir, name), path.Join(deadDir, name)); err != nil {
		return err
	}
	numbers, err := q.numbers(deadDir)
	if err != nil {
		return err
	}
	for _, old := range numbers[:max(0, len(numbers)-q.opts.MaxDead)] {
		err = errors.Join(err, q.opts.Dir.Remove(path.Join(deadDir, fileName(old))))
	}
	return err
}
