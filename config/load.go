package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cast"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// DefaultFile is read when it is there and --config names no other.
const DefaultFile = "config.yaml"

var errNotAllowed = errors.New("not allowed")

// Loaded is a Config together with where each value came from.
type Loaded struct {
	Config
	File    string // the file that was read; empty when there was none
	options []option
	sources map[string]string // by key
}

// Load reads the flags in args, the environment environ (in the form of os.Environ) and the
// configuration file. The error lists every problem found, one a line, each with the name of the
// option and what is allowed; it is pflag.ErrHelp when help was asked for (and written to help). extra adds the flags
// of a command, which are no options.
func Load(args, environ []string, help io.Writer, extra ...func(*pflag.FlagSet)) (*Loaded, error) {
	l := &Loaded{sources: make(map[string]string)}
	l.options = options(&l.Config)

	flags := l.flagSet(help)
	for _, add := range extra {
		add(flags)
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return nil, err
		}
		return nil, fmt.Errorf("%w (--help lists the flags)", err)
	}
	if rest := flags.Args(); len(rest) > 0 {
		return nil, fmt.Errorf("unexpected argument %q (--help lists the flags)", rest[0])
	}

	v := viper.New()
	problems := l.readFile(v, flags)
	problems = append(problems, l.readEnvironment(v, environ)...)
	for _, o := range l.options {
		v.SetDefault(o.key, o.def)
		if err := v.BindPFlag(o.key, flags.Lookup(o.key)); err != nil {
			return nil, err
		}
		if flags.Changed(o.key) {
			l.sources[o.key] = "flag --" + o.key
		}
		if err := l.set(o, v.Get(o.key)); err != nil {
			problems = append(problems, err)
		}
	}
	l.Admin.Chosen = l.chosen("admin.listen")
	l.Network.STUNChosen = l.chosen("network.stun_servers")
	if len(problems) == 0 {
		problems = l.check()
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return l, nil
}

// flagSet defines one flag per option. All are text to pflag, so that a bad value is reported in
// the same words wherever it stood.
func (l *Loaded) flagSet(help io.Writer) *pflag.FlagSet {
	flags := pflag.NewFlagSet("skillsage", pflag.ContinueOnError)
	flags.SetOutput(help)
	flags.SortFlags = false
	flags.String("config", "", "`file` to read (./"+DefaultFile+" when it is there)")
	for _, o := range l.options {
		flags.String(o.key, o.def, o.help+" (`"+placeholder(o.value)+"`)")
	}
	flags.Usage = func() {
		fmt.Fprintf(help, "Usage: skillsage [serve | check-config | doctor | version] [flags]\n\n"+
			"Every flag is also the variable %s<SECTION>_<KEY> and an entry of %s, which explains them all.\n\n%s",
			EnvPrefix, DefaultFile, flags.FlagUsages())
	}
	return flags
}

func placeholder(v value) string {
	if v.list {
		return "list"
	}
	return "value"
}

// readFile reads the file and reports the keys that nobody knows.
func (l *Loaded) readFile(v *viper.Viper, flags *pflag.FlagSet) []error {
	path, _ := flags.GetString("config")
	if !flags.Changed("config") {
		if _, err := os.Stat(DefaultFile); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		path = DefaultFile
	}
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	if err := v.ReadInConfig(); err != nil {
		return []error{fmt.Errorf("config file %s: %w", path, err)}
	}
	l.File = path

	var problems []error
	// Nothing but the file has been given to v yet, so its keys are the file's.
	for _, key := range slices.Sorted(slices.Values(v.AllKeys())) {
		if l.known(key) {
			// An entry that is left empty keeps the default.
			if v.Get(key) != nil {
				l.sources[key] = path
			}
			continue
		}
		problems = append(problems, fmt.Errorf("%s: unknown option in %s; %s", key, path, l.suggest(key)))
	}
	return problems
}

// readEnvironment hands the variables to v and reports those that nobody knows.
func (l *Loaded) readEnvironment(v *viper.Viper, environ []string) []error {
	byName := make(map[string]string, len(l.options))
	for _, o := range l.options {
		byName[o.env()] = o.key
	}
	var problems []error
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if name == "PORT" {
			// The convention of hosting platforms; the server's own variable is more deliberate.
			if text != "" && !strings.HasPrefix(l.sources["server.port"], EnvPrefix) {
				l.fromEnvironment(v, "server.port", name, text)
			}
			continue
		}
		if !strings.HasPrefix(name, EnvPrefix) {
			continue
		}
		key, ok := byName[name]
		if !ok {
			section, rest, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(name, EnvPrefix)), "_")
			problems = append(problems, fmt.Errorf("%s: unknown variable; %s", name, l.suggest(section+"."+rest)))
			continue
		}
		l.fromEnvironment(v, key, name, text)
	}
	return problems
}

// fromEnvironment puts a variable over the file. Viper's own BindEnv reads the process's
// environment when a value is asked for and takes an empty variable for none; here both the
// environment and the emptying of a list (SKILLSAGE_SERVER_TRUSTED_PROXIES=) are explicit.
func (l *Loaded) fromEnvironment(v *viper.Viper, key, name, text string) {
	// MergeConfigMap replaces what the file said and stays below a changed flag.
	section, entry, _ := strings.Cut(key, ".")
	if err := v.MergeConfigMap(map[string]any{section: map[string]any{entry: text}}); err == nil {
		l.sources[key] = name
	}
}

// set gives one option its value, or says what would have been allowed and where the bad value stood.
func (l *Loaded) set(o option, raw any) error {
	text, err := plain(raw)
	if err == nil {
		err = o.value.set(strings.TrimSpace(text))
	}
	if err == nil {
		return nil
	}
	if text == "" && err != errNotAllowed {
		text = fmt.Sprint(raw)
	}
	if o.value.secret {
		return fmt.Errorf("%s: what %s says is not allowed; allowed: %s", o.key, l.Source(o.key), o.value.allowed)
	}
	return fmt.Errorf("%s: %q (%s) is not allowed; allowed: %s", o.key, shorten(text), l.Source(o.key), o.value.allowed)
}

// plain is the text of what YAML, a flag or a variable gave.
func plain(raw any) (string, error) {
	if raw == nil {
		return "", nil
	}
	if entries, ok := raw.([]any); ok {
		texts, err := cast.ToStringSliceE(entries)
		return strings.Join(texts, ","), err
	}
	return cast.ToStringE(raw)
}

// chosen tells whether somebody has asked for the value of an option. A file that
// gives its default has not: it may be a copy of the manual.
func (l *Loaded) chosen(key string) bool {
	source, ok := l.sources[key]
	if !ok || source != l.File {
		return ok
	}
	return slices.ContainsFunc(l.options, func(o option) bool { return o.key == key && o.value.get() != o.def })
}

// Source says where the value of an option came from: a flag, a variable, a file or "default".
func (l *Loaded) Source(key string) string {
	if s, ok := l.sources[key]; ok {
		return s
	}
	return "default"
}

func (l *Loaded) known(key string) bool {
	return slices.ContainsFunc(l.options, func(o option) bool { return o.key == key })
}

// suggest names the options that could have been meant: those of the same section, else the sections.
func (l *Loaded) suggest(key string) string {
	section, _, _ := strings.Cut(key, ".")
	var same, sections []string
	for _, o := range l.options {
		s, entry, _ := strings.Cut(o.key, ".")
		if s == section {
			same = append(same, entry)
		}
		if !slices.Contains(sections, s) {
			sections = append(sections, s)
		}
	}
	if len(same) > 0 {
		return "the section " + section + " has " + strings.Join(same, ", ")
	}
	return "the sections are " + strings.Join(sections, ", ")
}

// Print writes every option with its value and source in the form of config.yaml. Secrets are left out.
func (l *Loaded) Print(w io.Writer) {
	last := ""
	for _, o := range l.options {
		section, entry, _ := strings.Cut(o.key, ".")
		if section != last {
			fmt.Fprintf(w, "%s:\n", section)
			last = section
		}
		text, source := notation(o.value), l.Source(o.key)
		if o.value.secret && o.value.get() != "" {
			text, source = `""`, source+", not shown"
		}
		fmt.Fprintf(w, "  %-40s # %s\n", entry+": "+text, source)
	}
}

// notation is a value as config.yaml writes it.
func notation(v value) string {
	text := v.get()
	switch {
	case v.list && text == "":
		return "[]"
	case v.list:
		return `["` + strings.ReplaceAll(text, ",", `", "`) + `"]`
	case v.quoted:
		return `"` + text + `"`
	}
	return text
}

// shorten keeps a hostile or mistaken value from filling the screen.
func shorten(text string) string {
	if len(text) > 60 {
		return text[:60] + "…"
	}
	return text
}
