package store

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Bounds of a folder's name, in bytes. File systems take 255.
const (
	maxName    = 160
	keptOfLong = 96
)

// longMark stands between what is kept of a long name and the hash of all of it. Nothing that is escaped has it.
const longMark = "=-"

const hexDigits = "0123456789abcdef"

// escape makes an interview's id the name of a folder. Different ids have different names, also where file systems
// do not tell A from a; a name has only characters that are plain everywhere, and none has a meaning to a file
// system, a shell or Windows. What is not a lower-case letter, a digit, an underscore or an inner hyphen becomes = and two
// hexadecimal digits for each byte; a long name is cut and gets a hash.
func escape(id string) string {
	if id == "" {
		return "="
	}
	var b strings.Builder
	for i := range len(id) {
		c := id[i]
		if plain(c) && !(c == '-' && i == 0) && !(i == 0 && reserved(id)) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('=')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
		if b.Len() > maxName {
			break
		}
	}
	if b.Len() <= maxName {
		return b.String()
	}
	sum := sha256.Sum256([]byte(id))
	return b.String()[:keptOfLong] + longMark + hex.EncodeToString(sum[:16])
}

// unescape is the reverse; false for the name of a long id, which does not tell it, and for what escape does not make.
func unescape(name string) (string, bool) {
	if name == "=" {
		return "", true
	}
	var id []byte
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '=' {
			if i+2 >= len(name) {
				return "", false
			}
			high, low := strings.IndexByte(hexDigits, name[i+1]), strings.IndexByte(hexDigits, name[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		id = append(id, c)
	}
	if escape(string(id)) != name {
		return "", false
	}
	return string(id), true
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// reserved tells whether Windows has a device of that name. (It has more, with characters that are escaped anyway.)
func reserved(id string) bool {
	switch id {
	case "con", "prn", "aux", "nul":
		return true
	}
	return len(id) == 4 && (id[:3] == "com" || id[:3] == "lpt") && '0' <= id[3] && id[3] <= '9'
}
