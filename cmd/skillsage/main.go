// Command skillsage is a signaling server and media relay for interviews in the browser.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/pflag"

	"skillsage/config"
)

// What the process ends with.
const (
	exitOK     = 0
	exitFailed = 1 // could not start, broke while running, was cut short by a second signal, or the doctor found something broken
	exitUsage  = 2 // the command line or the configuration is wrong
)

func main() { os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

func run(args, environ []string, out, errOut io.Writer) int {
	command := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	switch command {
	case "serve", "check-config", "doctor", "healthcheck":
	case "version":
		fmt.Fprintln(out, "skillsage", version(), runtime.Version())
		return exitOK
	case "compose": // needs no configuration
		return composeFile(args, out, errOut)
	default:
		fmt.Fprintf(errOut, "skillsage: unknown command %q; the commands are serve, check-config, compose, doctor, healthcheck and version\n", command)
		return exitUsage
	}

	var flags doctorFlags
	var extra []func(*pflag.FlagSet)
	if command == "doctor" {
		extra = append(extra, flags.add)
	}
	cfg, err := config.Load(args, environ, out, extra...)
	if errors.Is(err, pflag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(errOut, err)
		return exitUsage
	}
	if command == "check-config" {
		cfg.Print(out)
		return exitOK
	}
	if command == "doctor" {
		return diagnose(&cfg.Config, &flags, out, errOut)
	}
	if command == "healthcheck" {
		return healthcheck(&cfg.Config, out, errOut)
	}
	if err := serve(&cfg.Config, out, errOut); err != nil {
		fmt.Fprintln(errOut, "skillsage:", err)
		return exitFailed
	}
	return exitOK
}

// version is the commit that the binary was built from, as far as the build noted it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
