package httpapi

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"skillsage/recording/store"
)

// Bounds of the time for which a link to a recording is good.
const (
	MinLinkTTL = time.Minute
	MaxLinkTTL = 30 * 24 * time.Hour
)

const (
	watchPath = "/watch/" // of the public listener
	maxLink   = 128       // bytes of what follows it

	// linkScope is what a link's signature is good for, so that no other signature made with the secret passes for one.
	linkScope = "watch"
)

var (
	errLink        = errors.New("this link is not one of this server's, or it was changed on its way")
	errLinkExpired = errors.New("this link has expired; ask for a new one")
)

// Links makes and checks links to recordings. A link is
//
//	<recording>.<expiry>.<signature>
//
// with the expiry in seconds of the Unix time and, as the signature, HMAC-SHA256 of the lines "watch", recording and
// expiry, in unpadded base64url (RFC 4648). Whoever knows the secret can make them too. It does not tell the interview's
// id, with which one could enter the interview.
type Links struct {
	key []byte
	ttl time.Duration
	now func() time.Time
}

// NewLinks has links signed with secret, good for ttl unless something else is asked for.
func NewLinks(secret []byte, ttl time.Duration) *Links {
	return &Links{key: secret, ttl: ttl, now: time.Now}
}

// Make makes a link to a recording that is good for ttl, or for the usual time if ttl is 0.
func (l *Links) Make(recording string, ttl time.Duration) (link string, expires time.Time) {
	if ttl == 0 {
		ttl = l.ttl
	}
	expires = l.now().Add(ttl).UTC().Truncate(time.Second)
	expiry := strconv.FormatInt(expires.Unix(), 10)
	return recording + "." + expiry + "." + l.sign(recording, expiry), expires
}

func (l *Links) sign(recording, expiry string) string {
	mac := hmac.New(sha256.New, l.key)
	_, _ = io.WriteString(mac, linkScope+"\n"+recording+"\n"+expiry+"\n")
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// recording tells the recording that a link leads to, as long as the link is good.
func (l *Links) recording(link string) (string, error) {
	parts := strings.Split(link, ".")
	if len(link) > maxLink || len(parts) != 3 || !store.ValidID(parts[0]) {
		return "", errLink
	}
	if !hmac.Equal([]byte(parts[2]), []byte(l.sign(parts[0], parts[1]))) {
		return "", errLink
	}
	seconds, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return "", errLink
	}
	// The second bound is for links made elsewhere: none is good for ever.
	switch left := time.Unix(seconds, 0).Sub(l.now()); {
	case left <= 0:
		return "", errLinkExpired
	case left > MaxLinkTTL+time.Hour:
		return "", fmt.Errorf("this link is good for longer than %d days, which is not allowed", MaxLinkTTL/(24*time.Hour))
	}
	return parts[0], nil
}

const (
	secretName = ".link-secret" // no interview's folder is called so
	secretSize = 32             // bytes
)

// OpenLinkSecret reads the secret of links that is kept in the folder of recordings, and makes one when there is none
// yet. Only the server's user can read it.
func OpenLinkSecret(dir string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	secret, err := readSecret(root)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	// Made under another name first: what has the right one is whole, and two servers that start at the same time have
	// the same.
	temporary := secretName + "." + rand.Text()
	f, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, store.FileMode)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Remove(temporary) }()
	random := make([]byte, secretSize)
	_, _ = rand.Read(random) // never fails
	_, err = f.Write(random)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := root.Link(temporary, secretName); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return readSecret(root)
}

func readSecret(root *os.Root) ([]byte, error) {
	f, err := root.Open(secretName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	secret, err := io.ReadAll(io.LimitReader(f, secretSize+1))
	if err == nil && len(secret) != secretSize {
		err = fmt.Errorf("%s is not a secret of %d bytes; without it a new one is made, and links made so far lead nowhere", f.Name(), secretSize)
	}
	if err != nil {
		return nil, err
	}
	return secret, nil
}
