package upload

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob"
)

func init() {
	drivers["file"] = &driver{open: openFolder, check: checkFolder, local: true, part: 1 << 20}
}

// folder is where a file URL leads, by the rules of fileblob.
func folder(u *url.URL) string {
	name := u.Path
	if u.Host == "." || os.PathSeparator != '/' {
		name = strings.TrimPrefix(name, "/")
	}
	return filepath.FromSlash(name)
}

func checkFolder(u *url.URL) error {
	if u.Host != "" && u.Host != "." && u.Host != "localhost" {
		return errors.New(u.String() + " has two slashes where it needs three: file:///folder")
	}
	return nil
}

// openFolder has files written beside their places, since the system's folder for temporary files may be on another disk, with
// nothing else beside them, and for nobody else to read.
func openFolder(ctx context.Context, u *Uploader) (*blob.Bucket, error) {
	at := *u.url
	query := at.Query()
	for key, value := range map[string]string{"no_tmp_dir": "1", "metadata": "skip", "dir_file_mode": "0700"} {
		if !query.Has(key) {
			query.Set(key, value)
		}
	}
	at.RawQuery = query.Encode()
	return blob.OpenBucket(ctx, at.String())
}

// private is a blob.WriterOptions.BeforeWrite.
func private(as func(any) bool) error {
	var file *os.File
	if !as(&file) {
		return nil
	}
	return file.Chmod(0o600)
}

// removeUnfinished removes what attempts that were killed have left beside key.
func removeUnfinished(u *url.URL, key string) {
	name := filepath.Join(folder(u), filepath.FromSlash(key))
	entries, _ := os.ReadDir(filepath.Dir(name)) // none before the first file
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), filepath.Base(name)+".") && strings.HasSuffix(entry.Name(), ".tmp") {
			_ = os.Remove(filepath.Join(filepath.Dir(name), entry.Name()))
		}
	}
}

// syncFile brings the object at key to the disk, with the names of the folders that lead to it. fileblob does not.
func syncFile(u *url.URL, key string) error {
	name := filepath.FromSlash(key)
	var errs error
	for {
		errs = errors.Join(errs, syncName(filepath.Join(folder(u), name)))
		if name == "." {
			return errs
		}
		name = filepath.Dir(name)
	}
}

func syncName(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
