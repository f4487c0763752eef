package config

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxAdvertised  = 8 // addresses that each description may carry
	maxSTUNServers = 4
)

// value is one kind of option bound to its field.
type value struct {
	set     func(text string) error // an error means that nothing was set
	get     func() string           // in the notation that set understands
	allowed string                  // "a whole number from 0 to 65535"
	list    bool                    // printed as a YAML list
	quoted  bool                    // printed in quotes
	secret  bool                    // never printed
}

func oneOf(p *string, words ...string) value {
	allowed := strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	return value{
		allowed: allowed,
		get:     func() string { return *p },
		set: func(text string) error {
			if !slices.Contains(words, text) {
				return errNotAllowed
			}
			*p = text
			return nil
		},
	}
}

func boolean(p *bool) value {
	return value{
		allowed: "true or false",
		get:     func() string { return strconv.FormatBool(*p) },
		set: func(text string) error {
			if text != "true" && text != "false" {
				return errNotAllowed
			}
			*p = text == "true"
			return nil
		},
	}
}

// secret is a text that goes through an HTTP header; one of 16 letters or more is hard to guess.
func secret(p *string, shortest int) value {
	const longest = 256
	return value{
		allowed: fmt.Sprintf("%d to %d letters, digits and signs without blanks and quotes, or nothing", shortest, longest),
		quoted:  true,
		secret:  true,
		get:     func() string { return *p },
		set: func(text string) error {
			if text != "" && (len(text) < shortest || len(text) > longest) {
				return errNotAllowed
			}
			for _, c := range text {
				if c <= ' ' || c > '~' || c == '"' || c == '\'' || c == '\\' {
					return errNotAllowed
				}
			}
			*p = text
			return nil
		},
	}
}

func integer(p *int, low, high int) value {
	return value{
		allowed: fmt.Sprintf("a whole number from %d to %d", low, high),
		get:     func() string { return strconv.Itoa(*p) },
		set: func(text string) error {
			n, err := strconv.Atoi(text)
			if err != nil || n < low || n > high {
				return errNotAllowed
			}
			*p = n
			return nil
		},
	}
}

func rate(p *float64, low, high float64) value {
	return value{
		allowed: fmt.Sprintf("a number from %v to %.0f", low, high),
		get:     func() string { return strconv.FormatFloat(*p, 'f', -1, 64) },
		set: func(text string) error {
			f, err := strconv.ParseFloat(text, 64)
			if err != nil || math.IsNaN(f) || f < low || f > high {
				return errNotAllowed
			}
			*p = f
			return nil
		},
	}
}

func duration(p *time.Duration, low, high string) value {
	least, most := mustDuration(low), mustDuration(high)
	return value{
		allowed: fmt.Sprintf("a time with its unit (500ms, 5s, 2m, 1h) from %s to %s", low, high),
		get:     func() string { return formatDuration(*p) },
		set: func(text string) error {
			d, err := time.ParseDuration(text)
			if err != nil || d < least || d > most {
				return errNotAllowed
			}
			*p = d
			return nil
		},
	}
}

func size(p *int, low, high int) value {
	return value{
		allowed: fmt.Sprintf("a number of bytes with an optional unit (kB, MB, GB; KiB, MiB, GiB) from %s to %s",
			formatSize(low), formatSize(high)),
		get: func() string { return formatSize(*p) },
		set: func(text string) error {
			n, ok := parseSize(text)
			if !ok || n < low || n > high {
				return errNotAllowed
			}
			*p = n
			return nil
		},
	}
}

func level(p *slog.Level) value {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	return value{
		allowed: "debug, info, warn or error",
		get:     func() string { return strings.ToLower(p.String()) },
		set: func(text string) error {
			l, ok := levels[text]
			if !ok {
				return errNotAllowed
			}
			*p = l
			return nil
		},
	}
}

func host(p *string) value {
	return value{
		allowed: "an IP address or a host name without a port, or nothing",
		quoted:  true,
		get:     func() string { return *p },
		set: func(text string) error {
			if !validHost(text) {
				return errNotAllowed
			}
			*p = text
			return nil
		},
	}
}

func hostPort(p *string) value {
	return value{
		allowed: "host:port, for example 127.0.0.1:9090, or nothing",
		quoted:  true,
		get:     func() string { return *p },
		set: func(text string) error {
			if text != "" && !validHostPort(text) {
				return errNotAllowed
			}
			*p = text
			return nil
		},
	}
}

func validHostPort(text string) bool {
	name, port, err := net.SplitHostPort(text)
	n, errPort := strconv.ParseUint(port, 10, 16)
	return err == nil && errPort == nil && n != 0 && validHost(name)
}

// file is the path of a file or a folder, as long as config.yaml can have it between quotes.
func file(p *string) value {
	return text(p, "a path without quotes and backslashes, or nothing", func(text string) bool {
		return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' })
	})
}

// sentence is a line that people read.
func sentence(p *string) value {
	const longest = 1000
	return text(p, fmt.Sprintf("at most %d bytes of text without quotes, backslashes and line breaks, or nothing", longest), func(text string) bool {
		return len(text) <= longest && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == utf8.RuneError })
	})
}

func email(p *string) value {
	return text(p, "an e-mail address, or nothing", func(text string) bool {
		address, err := mail.ParseAddress(text)
		return err == nil && address.Address == text && !strings.ContainsAny(text, `"\`)
	})
}

func httpsURL(p *string) value {
	return text(p, "a URL that starts with https://, or nothing", func(text string) bool {
		u, err := url.Parse(text)
		return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && !strings.ContainsAny(text, "\"\\ ")
	})
}

// webhookURLs have no user and no fragment, which no request has.
func webhookURLs(p *[]string) value {
	const most = 16
	return list(p, fmt.Sprintf("a list of at most %d URLs that start with https:// or http://, each at most once", most), func(text string) (string, error) {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" || strings.ContainsAny(text, "\"\\ ") {
			return "", errNotAllowed
		}
		return text, nil
	}, func(s string) string { return s }, func(all []string) bool { return len(all) <= most && unique(all) })
}

// webhookSecrets are secrets of the Standard Webhooks specification.
func webhookSecrets(p *[]string) value {
	const most = 8
	v := list(p, fmt.Sprintf("a list of at most %d secrets, each whsec_ and 24 to 64 random bytes in base64", most), func(text string) (string, error) {
		encoded, found := strings.CutPrefix(text, "whsec_")
		bytes, err := base64.StdEncoding.DecodeString(encoded)
		if !found || err != nil || len(bytes) < 24 || len(bytes) > 64 {
			return "", errNotAllowed
		}
		return text, nil
	}, func(s string) string { return s }, func(all []string) bool { return len(all) <= most && unique(all) })
	v.secret = true
	return v
}

// bucketURL is one of the Go CDK.
func bucketURL(p *string) value {
	schemes := []string{"s3", "gs", "azblob", "file"}
	return text(p, "a URL such as s3://bucket?region=eu-central-1, gs://bucket, azblob://container or file:///folder, or nothing", func(text string) bool {
		u, err := url.Parse(text)
		return err == nil && slices.Contains(schemes, u.Scheme) && (u.Scheme == "file") == (u.Host == "") && (u.Host != "" || u.Path != "") &&
			u.User == nil && !strings.ContainsAny(text, "\"\\ ")
	})
}

var keyPrefixPattern = regexp.MustCompile(`^[A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*$`)

func keyPrefix(p *string) value {
	return text(p, "names of letters, digits, dots, hyphens, underscores and equals signs, with a slash between two and no dot before one, or nothing", func(text string) bool {
		return len(text) <= 256 && keyPrefixPattern.MatchString(text)
	})
}

// bandwidth is a size per second, or 0.
func bandwidth(p *int, low, high int) value {
	v := size(p, low, high)
	bounded := v.set
	v.allowed = "0, or " + v.allowed
	v.set = func(text string) error {
		if text == "0" {
			*p = 0
			return nil
		}
		return bounded(text)
	}
	return v
}

// program is a program and its arguments. A shell never sees them.
func program(p *[]string) value {
	return list(p, "a list of a program and its arguments, none of them with a comma, a quote or a backslash", func(text string) (string, error) {
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }) {
			return "", errNotAllowed
		}
		return text, nil
	}, func(s string) string { return s }, nil)
}

// origin is scheme, host and port of a web page.
func origin(p *string) value {
	return text(p, "an address such as https://interviews.example.com (scheme, host and port only), or nothing", validOrigin)
}

func validOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && u.Scheme+"://"+u.Host == text && !strings.ContainsAny(text, `"\`)
}

// text may be empty; good judges what is not.
func text(p *string, allowed string, good func(string) bool) value {
	return value{
		allowed: allowed,
		quoted:  true,
		get:     func() string { return *p },
		set: func(text string) error {
			if text != "" && !good(text) {
				return errNotAllowed
			}
			*p = text
			return nil
		},
	}
}

// validHost refuses what is surely a mistake (a port, a URL, blanks) and leaves the rest to the
// system's resolver.
func validHost(text string) bool {
	if text == "" {
		return true
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return !strings.ContainsAny(text, ":/[]@ \t\"'")
}

// realm is a text that goes through STUN attributes.
func realm(p *string) value {
	return value{
		allowed: "1 to 127 letters, digits, dots, hyphens and underscores",
		quoted:  true,
		get:     func() string { return *p },
		set: func(text string) error {
			if !realmPattern.MatchString(text) {
				return errNotAllowed
			}
			*p = text
			return nil
		},
	}
}

var realmPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,127}$`)

// ports is a range of UDP ports above those of services.
func ports(p *Ports) value {
	const low, high = 1024, 65535
	return value{
		allowed: fmt.Sprintf("two ports from %d to %d, the smaller one first, for example 40000-40999, or nothing", low, high),
		quoted:  true,
		get: func() string {
			if *p == (Ports{}) {
				return ""
			}
			return fmt.Sprintf("%d-%d", p.Min, p.Max)
		},
		set: func(text string) error {
			if text == "" {
				*p = Ports{}
				return nil
			}
			first, last, _ := strings.Cut(text, "-")
			least, err := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
			most, errMost := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
			if err != nil || errMost != nil || least < low || most < least {
				return errNotAllowed
			}
			*p = Ports{uint16(least), uint16(most)}
			return nil
		},
	}
}

// iceURL matches the URLs of STUN and TURN servers (RFC 7064, RFC 7065).
var iceURL = regexp.MustCompile(`^(stuns?:[^\s/@?"'\\]+|turns?:[^\s/@?"'\\]+(\?transport=(udp|tcp))?)$`)

func iceURLs(p *[]string) value {
	return list(p, "a list of URLs such as turns:turn.example.com:443?transport=tcp (turn:, turns:, stun: or stuns:)", func(text string) (string, error) {
		if !iceURL.MatchString(text) {
			return "", errNotAllowed
		}
		return text, nil
	}, func(s string) string { return s }, nil)
}

func origins(p *[]string) value {
	return list(p, `"*" alone, or a list (it may be empty) of origins such as https://app.example.com (scheme, host and port only)`,
		func(text string) (string, error) {
			if text == "*" {
				return text, nil
			}
			if !validOrigin(text) {
				return "", errNotAllowed
			}
			// Browsers send host names in lower case; compared byte by byte, anything else would never match.
			return strings.ToLower(text), nil
		},
		func(s string) string { return s },
		func(all []string) bool { return len(all) <= 1 || !slices.Contains(all, "*") })
}

func prefixes(p *[]netip.Prefix) value {
	return list(p, "a list of IP addresses or networks, for example 127.0.0.1 or 10.0.0.0/8",
		func(text string) (netip.Prefix, error) {
			if addr, err := netip.ParseAddr(text); err == nil {
				addr = addr.Unmap()
				return netip.PrefixFrom(addr, addr.BitLen()), nil
			}
			prefix, err := netip.ParsePrefix(text)
			return prefix.Masked(), err
		}, netip.Prefix.String, nil)
}

func addresses(p *[]netip.Addr) value {
	return list(p, "a list of IP addresses of this machine", func(text string) (netip.Addr, error) {
		addr, err := netip.ParseAddr(text)
		if err == nil && (addr.IsUnspecified() || addr.IsMulticast()) {
			return addr, errNotAllowed
		}
		return addr.Unmap(), err
	}, netip.Addr.String, nil)
}

// advertised is ip, ip:port or [ipv6]:port, with udp: or tcp: before it where it is for one of them.
func advertised(p *[]Advertised) value {
	return list(p, fmt.Sprintf("a list of at most %d public addresses such as 203.0.113.5, 203.0.113.5:443, [2001:db8::5]:443 or udp:203.0.113.5:443", maxAdvertised),
		func(text string) (Advertised, error) {
			var a Advertised
			for _, protocol := range []string{"udp", "tcp"} {
				if rest, found := strings.CutPrefix(text, protocol+":"); found {
					a.Protocol, text = protocol, rest
					break
				}
			}
			if addr, err := netip.ParseAddr(text); err == nil {
				a.Addr = addr.Unmap()
			} else if addr, err := netip.ParseAddrPort(text); err == nil && addr.Port() != 0 {
				a.Addr, a.Port = addr.Addr().Unmap(), addr.Port()
			} else {
				return a, errNotAllowed
			}
			// A browser can't use a link-local address, which is nothing without its interface.
			if a.Addr.IsUnspecified() || a.Addr.IsMulticast() || a.Addr.IsLinkLocalUnicast() || a.Addr.Zone() != "" {
				return a, errNotAllowed
			}
			return a, nil
		}, Advertised.String, func(all []Advertised) bool { return len(all) <= maxAdvertised })
}

func stunServers(p *[]string) value {
	return list(p, fmt.Sprintf("a list of at most %d STUN servers as host:port, for example stun.example.com:3478; it may be empty", maxSTUNServers),
		func(text string) (string, error) {
			if !validHostPort(text) || strings.HasPrefix(text, ":") {
				return "", errNotAllowed
			}
			return text, nil
		}, func(s string) string { return s }, func(all []string) bool { return len(all) <= maxSTUNServers })
}

func names(p *[]string) value {
	return list(p, "a list of interface names, for example eth0", func(text string) (string, error) {
		if strings.ContainsAny(text, " \t/") {
			return "", errNotAllowed
		}
		return text, nil
	}, func(s string) string { return s }, nil)
}

var domainPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func domains(p *[]string) value {
	return list(p, "a list of DNS names without wildcards, each at most once, for example interviews.example.com", func(text string) (string, error) {
		text = strings.ToLower(text)
		if _, err := netip.ParseAddr(text); err == nil || len(text) > 253 || !domainPattern.MatchString(text) {
			return "", errNotAllowed
		}
		return text, nil
	}, func(s string) string { return s }, unique)
}

func unique(all []string) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(all)))) == len(all)
}

// words is a list in which each of the given words may stand once.
func words(p *[]string, known ...string) value {
	return list(p, "a list of "+strings.Join(known, ", ")+", each at most once", func(text string) (string, error) {
		if text = strings.ToLower(text); !slices.Contains(known, text) {
			return "", errNotAllowed
		}
		return text, nil
	}, func(s string) string { return s }, func(all []string) bool {
		return len(all) > 0 && unique(all)
	})
}

// list is a value of several entries; in a flag or a variable they stand apart by commas.
func list[T any](p *[]T, allowed string, parse func(string) (T, error), format func(T) string, whole func([]T) bool) value {
	return value{
		allowed: allowed,
		list:    true,
		get: func() string {
			texts := make([]string, len(*p))
			for i, entry := range *p {
				texts[i] = format(entry)
			}
			return strings.Join(texts, ",")
		},
		set: func(text string) error {
			all := []T{}
			for part := range strings.SplitSeq(text, ",") {
				if part = strings.TrimSpace(part); part == "" {
					continue
				}
				entry, err := parse(part)
				if err != nil {
					return err
				}
				all = append(all, entry)
			}
			if whole != nil && !whole(all) {
				return errNotAllowed
			}
			*p = all
			return nil
		},
	}
}

// units in the order in which formatSize tries them: the largest that leaves no rest wins.
var units = []struct {
	name  string
	bytes int
}{
	{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1},
}

func parseSize(text string) (int, bool) {
	digits := strings.TrimRight(text, "ABCDEFGHIKMabcdefghikm ")
	unit := strings.TrimSpace(text[len(digits):])
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 {
		return 0, false
	}
	if unit == "" {
		return n, true
	}
	for _, u := range units {
		if strings.EqualFold(u.name, unit) {
			return n * u.bytes, n <= math.MaxInt/u.bytes
		}
	}
	return 0, false
}

func formatSize(n int) string {
	for _, u := range units {
		if n >= u.bytes && n%u.bytes == 0 && u.name != "B" {
			return strconv.Itoa(n/u.bytes) + u.name
		}
	}
	return strconv.Itoa(n)
}

// formatDuration is Duration.String without the zeros at its end: 1m0s is written 1m.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func mustDuration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return d
}
