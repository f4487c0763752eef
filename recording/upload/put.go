package upload

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// sums are what a file is recognised by.
type sums struct {
	size   int64
	md5    []byte
	sha256 string
}

// metadataSHA256 is the metadata under which objects carry it.
const metadataSHA256 = "sha256"

var (
	errMissing   = errors.New("there is no such file")
	errStalled   = errors.New("nothing has moved for too long")
	errDifferent = errors.New("what has arrived is not what was sent")
)

// put brings one file to the bucket, unless it is there already, and reads it back as far as the provider does not vouch for it.
func (u *Uploader) put(ctx context.Context, bucket *blob.Bucket, root *os.Root, file File, key string) (Object, error) {
	source, err := root.Open(file.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return Object{}, errMissing
	}
	if err != nil {
		return Object{}, err
	}
	defer source.Close()
	if info, err := source.Stat(); err != nil || !info.Mode().IsRegular() {
		return Object{}, errors.Join(err, errors.New("not a regular file"))
	}
	want, err := sum(ctx, source)
	if err != nil {
		return Object{}, err
	}
	object := Object{Size: want.size, SHA256: want.sha256}
	if file.SHA256 != "" && file.SHA256 != want.sha256 {
		object.Problem = Changed
	}

	// What sees nothing moving cancels with a cause that says so.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(u.opts.Stall, func() { cancel(errStalled) })
	defer watch.Stop()
	ctx = context.WithValue(ctx, movedKey{}, func() { watch.Reset(u.opts.Stall) })

	there, err := u.there(ctx, bucket, key, want)
	if err == nil && there {
		// From an attempt that was cut short, unless it turns out to be broken.
		err = u.verify(ctx, bucket, key, want)
		there = err == nil
	}
	if !there && ctx.Err() == nil {
		if err = u.send(ctx, bucket, source, key, file.ContentType, want); err == nil {
			err = u.verify(ctx, bucket, key, want)
		}
	}
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
			err = cause
		}
		return Object{}, err
	}
	object.Verified = time.Now().UTC().Truncate(time.Second)
	return object, nil
}

// sum reads a file from its beginning.
func sum(ctx context.Context, file *os.File) (sums, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return sums{}, err
	}
	md, sha := md5.New(), sha256.New()
	size, err := io.Copy(io.MultiWriter(md, sha), cancelled{ctx, file})
	return sums{size, md.Sum(nil), hex.EncodeToString(sha.Sum(nil))}, err
}

// there tells whether the bucket has an object that seems to be the file.
func (u *Uploader) there(ctx context.Context, bucket *blob.Bucket, key string, want sums) (bool, error) {
	attributes, err := bucket.Attributes(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return false, nil
	}
	// Some may write but not look; then sending it and looking again tells more.
	if err != nil {
		return false, ctx.Err()
	}
	return attributes.Size == want.size && (u.driver.local || attributes.Metadata[metadataSHA256] == want.sha256), nil
}

// send writes the file to its key. The object is there as a whole or not at all.
func (u *Uploader) send(ctx context.Context, bucket *blob.Bucket, file *os.File, key, contentType string, want sums) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	options := &blob.WriterOptions{
		BufferSize:     u.driver.part,
		MaxConcurrency: parallel,
		ContentType:    contentType,
		Metadata:       map[string]string{metadataSHA256: want.sha256},
	}
	if !u.driver.told {
		options.ContentMD5 = want.md5
	}
	if u.driver.local {
		options.Metadata, options.BeforeWrite = nil, private
		removeUnfinished(u.url, key)
	}
	writer, err := bucket.NewWriter(ctx, key, options)
	if err != nil {
		return err
	}
	if _, err := io.Copy(writer, u.moving(ctx, file)); err != nil {
		cancel() // or Close would finish it
		return errors.Join(err, ignore(writer.Close()))
	}
	if err := writer.Close(); err != nil {
		return err
	}
	if u.driver.local {
		return syncFile(u.url, key)
	}
	return nil
}

// ignore is for an error that follows from one that is told already.
func ignore(error) error { return nil }

// verify makes sure that the object is the file: by its size and MD5 if the provider has worked that out from what it
// keeps, else by reading it. (Where encryption is the customer's, what looks like an MD5 is none.)
func (u *Uploader) verify(ctx context.Context, bucket *blob.Bucket, key string, want sums) error {
	attributes, err := bucket.Attributes(ctx, key)
	if err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	if attributes.Size != want.size {
		return fmt.Errorf("%w: %d bytes instead of %d", errDifferent, attributes.Size, want.size)
	}
	if !u.driver.local && bytes.Equal(attributes.MD5, want.md5) {
		return nil
	}
	reader, err := bucket.NewReader(ctx, key, nil)
	if err != nil {
		return fmt.Errorf("reading it back: %w", err)
	}
	defer reader.Close()
	sha := sha256.New()
	if _, err := io.Copy(sha, u.moving(ctx, reader)); err != nil {
		return fmt.Errorf("reading it back: %w", err)
	}
	if hex.EncodeToString(sha.Sum(nil)) != want.sha256 {
		return errDifferent
	}
	return nil
}
