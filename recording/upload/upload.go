// Package upload copies the files of a recording to a bucket (Amazon S3 and what speaks like it, Google Cloud Storage,
// Azure Blob Storage, or a folder) and makes sure that they have arrived as they are.
package upload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"
	"golang.org/x/time/rate"
)

// Options say where files go, and what that may cost.
type Options struct {
	// URL of the bucket, as the Go CDK has it (https://gocloud.dev/howto/blob/): s3://bucket?region=eu-central-1, gs://bucket,
	// azblob://container, file:///folder. Who may write there is found as the provider's own tools do.
	URL    string
	Prefix string // of all keys, without a slash at its ends; may be empty

	// Bandwidth bounds what all uploads together take, in bytes per second; 0: no bound. What is read back counts too.
	Bandwidth int
	// Stall is how long an upload may stand still until it is given up; default 5 minutes.
	Stall  time.Duration
	Logger *slog.Logger // default: slog.Default
}

// driver is what differs between kinds of buckets.
type driver struct {
	open  func(ctx context.Context, u *Uploader) (*blob.Bucket, error)
	paced bool // the bucket sees to the bandwidth itself
	// check looks at the URL alone.
	check func(*url.URL) error
	local bool // a folder: an MD5 among a file's attributes is no proof
	// told: the provider keeps the MD5 that it is told, without a look at what it stores; it is not told, then.
	told bool
	part int // bytes that are sent at once, and held in memory
}

// drivers by the scheme of their URLs. Each is in a file of its own that a build tag leaves out.
var drivers = make(map[string]*driver)

// openByURL is how most buckets are opened.
func openByURL(ctx context.Context, u *Uploader) (*blob.Bucket, error) {
	return blob.OpenBucket(ctx, u.url.String())
}

// parallel parts of one file are under way at the same time.
const parallel = 2

// Uploader uploads. Its methods are safe for concurrent use.
type Uploader struct {
	opts   Options // static, as all but bucket
	url    *url.URL
	driver *driver
	limit  *rate.Limiter // nil: no bound

	opening sync.Mutex
	bucket  *blob.Bucket // guarded by opening; nil until it is used
}

// New checks the options. It does not speak to anybody yet: a bucket that is out of reach now may be there when there is something to upload.
func New(opts Options) (*Uploader, error) {
	if opts.Stall <= 0 {
		opts.Stall = 5 * time.Minute
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	u, err := url.Parse(opts.URL)
	if err != nil {
		return nil, err
	}
	d := drivers[u.Scheme]
	if d == nil {
		return nil, fmt.Errorf("%s is no URL of a bucket: it has to begin with %s", u.Redacted(), strings.Join(Schemes(), ":// or ")+"://")
	}
	if d.check != nil {
		if err := d.check(u); err != nil {
			return nil, err
		}
	}
	up := &Uploader{opts: opts, url: u, driver: d}
	if opts.Bandwidth > 0 {
		up.limit = rate.NewLimiter(rate.Limit(opts.Bandwidth), chunk)
	}
	return up, nil
}

// Schemes lists the kinds of buckets that the program has been built with.
func Schemes() []string {
	var all []string
	for scheme := range drivers {
		all = append(all, scheme)
	}
	slices.Sort(all)
	return all
}

// open gives the bucket, and opens it if need be.
func (u *Uploader) open(ctx context.Context) (*blob.Bucket, error) {
	u.opening.Lock()
	defer u.opening.Unlock()
	if u.bucket == nil {
		bucket, err := u.driver.open(ctx, u)
		if err != nil {
			return nil, err
		}
		u.bucket = bucket
	}
	return u.bucket, nil
}

// Check tells whether the bucket is there, as far as that can be seen without writing to it.
func (u *Uploader) Check(ctx context.Context) error {
	bucket, err := u.open(ctx)
	if err != nil {
		return err
	}
	there, err := bucket.IsAccessible(ctx)
	if err == nil && !there {
		err = errors.New("there is no such bucket")
	}
	return err
}

// Close gives the bucket back. No upload may run.
func (u *Uploader) Close() error {
	u.opening.Lock()
	defer u.opening.Unlock()
	if u.bucket == nil {
		return nil
	}
	return u.bucket.Close()
}

// Location is the URL of a key, or of all keys below it, without what only the server needs to know.
func (u *Uploader) Location(key string) string {
	at := url.URL{Scheme: u.url.Scheme, Host: u.url.Host, Path: path.Join(u.url.Path, "/", u.key(key))}
	return at.String()
}

func (u *Uploader) key(name string) string { return path.Join(u.opts.Prefix, name) }

// Folder is what is uploaded together.
type Folder struct {
	Root  *os.Root
	Key   string // below Options.Prefix; each file's is this, a slash and its name
	Files []File // in this order: who sees the last one can rely on the others
}

// File is one of a Folder.
type File struct {
	Name        string // without a slash
	ContentType string
	SHA256      string // in hexadecimal, as the file should have; empty: not known
}

// State is how far a Folder's upload has come. It is plain data, to be kept as JSON from one attempt to the next.
type State struct {
	To    string            `json:"to"`    // URL of the folder
	Files map[string]Object `json:"files"` // by name: those that need not be uploaded any more
}

// Object is a file that has been dealt with.
type Object struct {
	Size     int64     `json:"size"`
	SHA256   string    `json:"sha256"`
	Verified time.Time `json:"verified,omitzero"`
	Problem  Problem   `json:"problem,omitempty"`
}

// Problem is what is wrong with a file that can't be helped by trying again.
type Problem string

const (
	// Missing says that there is no such file, so that there is nothing in the bucket either.
	Missing Problem = "missing"
	// Changed says that the file is not the one that File.SHA256 is of. It has been uploaded as it is.
	Changed Problem = "changed"
)

// Size is that of the files that have arrived, in bytes.
func (s *State) Size() (sum int64) {
	for _, object := range s.Files {
		sum += object.Size
	}
	return sum
}

// Whole tells whether all files of the folder have arrived, just as they should be.
func (s *State) Whole(f Folder) bool {
	for _, file := range f.Files {
		object, ok := s.Files[file.Name]
		if !ok || object.Problem != "" || object.Verified.IsZero() {
			return false
		}
	}
	return true
}

// Upload brings those files to the bucket that are not there yet by what s says, one after the other, and calls save whenever s has
// changed. An error means that it should be tried again some time, with the same state; nothing is sent twice that has been verified.
func (u *Uploader) Upload(ctx context.Context, f Folder, s *State, save func() error) error {
	if to := u.Location(f.Key); s.To != to {
		*s = State{To: to, Files: make(map[string]Object)}
	}
	bucket, err := u.open(ctx)
	if err != nil {
		return err
	}
	for _, file := range f.Files {
		if _, ok := s.Files[file.Name]; ok {
			continue
		}
		object, err := u.put(ctx, bucket, f.Root, file, path.Join(u.key(f.Key), file.Name))
		if errors.Is(err, errMissing) {
			object, err = Object{Problem: Missing}, nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file.Name, err)
		}
		if object.Problem != "" {
			u.opts.Logger.Error("a file of a recording is not what it should be", "file", path.Join(f.Key, file.Name), "problem", string(object.Problem))
		}
		s.Files[file.Name] = object
		if err := save(); err != nil {
			return err
		}
	}
	return nil
}
