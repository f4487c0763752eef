// Command notices writes the licences of everything that a built skillsage contains: the Go modules
// linked into the program and the npm packages bundled into the room page. Run it in the top
// folder after `npm ci` in web; it fails when a licence is missing or unknown.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// component is one module or package with the texts of its licence files.
type component struct {
	name, version, dir string
	texts              []string
	ids                []string // SPDX
}

func main() {
	goModules, err := goComponents()
	if err == nil {
		var npm []component
		if npm, err = npmComponents("web"); err == nil {
			err = write(os.Stdout, goModules, npm)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// goComponents lists the standard library and the modules of which a package is linked in.
func goComponents() ([]component, error) {
	out, err := exec.Command("go", "list", "-deps", "-f",
		`{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}`, "./cmd/skillsage").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	// The version of the compiler is of the machine, not of the project: left out, the file stays the same.
	all := []component{{name: "the Go standard library", dir: strings.TrimSpace(string(root))}}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		if fields := strings.Fields(line); len(fields) == 3 {
			all = append(all, component{name: fields[0], version: fields[1], dir: fields[2]})
		}
	}
	return readAll(all)
}

// npmPackage is the part of `npm ls --json` that is needed.
type npmPackage struct {
	Version      string
	Path         string
	Dependencies map[string]npmPackage
}

// npmComponents lists what the page's packages need at run time. A few of these are replaced by
// the browser's own means when the page is bundled; naming them costs nothing.
func npmComponents(dir string) ([]component, error) {
	cmd := exec.Command("npm", "ls", "--all", "--omit=dev", "--omit=peer", "--json", "--long")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("npm ls: %w", err)
	}
	var tree npmPackage
	if err := json.Unmarshal(out, &tree); err != nil {
		return nil, fmt.Errorf("npm ls: %w", err)
	}
	found := map[string]component{}
	collect(tree, found)
	var all []component
	for _, c := range found {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b component) int {
		return strings.Compare(a.name+"@"+a.version, b.name+"@"+b.version)
	})
	return readAll(all)
}

func collect(p npmPackage, found map[string]component) {
	for name, d := range p.Dependencies {
		// The project's own packages are links to folders outside node_modules; optional ones may be absent.
		if real, err := filepath.EvalSymlinks(d.Path); err == nil && strings.Contains(real, "/node_modules/") {
			found[name+"@"+d.Version] = component{name: name, version: d.Version, dir: d.Path}
		}
		collect(d, found)
	}
}

func readAll(all []component) ([]component, error) {
	for i := range all {
		if err := all[i].read(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// read takes the licence files of a component's top folder.
func (c *component) read() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		upper := strings.ToUpper(entry.Name())
		if entry.IsDir() || strings.HasSuffix(upper, ".GO") ||
			!strings.HasPrefix(upper, "LICEN") && !strings.HasPrefix(upper, "COPYING") && !strings.HasPrefix(upper, "NOTICE") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(c.dir, entry.Name()))
		if err != nil {
			return err
		}
		plain := strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
		c.texts = append(c.texts, plain)
		for _, id := range identify(plain) {
			if !slices.Contains(c.ids, id) {
				c.ids = append(c.ids, id)
			}
		}
	}
	if len(c.ids) == 0 {
		return fmt.Errorf("%s %s: no known licence in %s", c.name, c.version, c.dir)
	}
	return nil
}

// identify finds the SPDX identifiers, each by a sentence that only this licence has.
func identify(text string) []string {
	flat := strings.Join(strings.Fields(text), " ")
	var ids []string
	for _, known := range []struct{ id, sentence string }{
		{"Apache-2.0", "Apache License"},
		{"MPL-2.0", "Mozilla Public License"},
		{"MIT", "Permission is hereby granted, free of charge"},
		{"ISC", "Permission to use, copy, modify, and/or distribute"},
		{"ISC", "Permission to use, copy, modify, and distribute"},
		{"BSD-3-Clause", "may be used to endorse or promote products"},
		{"CC0-1.0", "CC0 1.0 Universal"},
	} {
		if strings.Contains(flat, known.sentence) {
			ids = append(ids, known.id)
		}
	}
	if len(ids) == 0 && strings.Contains(flat, "Redistribution and use in source and binary forms") {
		ids = []string{"BSD-2-Clause"}
	}
	return ids
}

func write(w io.Writer, goModules, npm []component) error {
	if len(goModules) < 2 || len(npm) == 0 {
		return errors.New("nothing found: is this the top folder, and are the npm packages installed?")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Third-party notices\n\nWhat a built skillsage contains besides its own code, and under which licences. "+
		"Written by `make notices` (for %s); do not edit.\n", runtime.GOOS)
	for _, part := range []struct {
		title string
		all   []component
	}{{"Linked into the program", goModules}, {"Bundled into the room page", npm}} {
		fmt.Fprintf(&b, "\n## %s\n\n| name | version | licence |\n|---|---|---|\n", part.title)
		for _, c := range part.all {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", c.name, c.version, strings.Join(c.ids, ", "))
		}
	}
	b.WriteString("\n## Texts\n")
	// Several components share one text word for word; each text stands once, below all its names.
	var texts []string
	users := map[string][]string{}
	for _, c := range slices.Concat(goModules, npm) {
		for _, text := range c.texts {
			if users[text] == nil {
				texts = append(texts, text)
			}
			users[text] = append(users[text], strings.TrimSpace(c.name+" "+c.version))
		}
	}
	for _, text := range texts {
		fmt.Fprintf(&b, "\n### %s\n\n", strings.Join(users[text], ", "))
		// Indented, so that nothing in it is read as Markdown.
		for line := range strings.SplitSeq(text, "\n") {
			fmt.Fprintln(&b, strings.TrimRight("    "+line, " \t"))
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}
