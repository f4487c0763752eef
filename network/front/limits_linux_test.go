package front

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Without a file to spare connections wait, and are served when there is one again; the log has one line about it.
func TestOutOfFiles(t *testing.T) {
	var log bytes.Buffer
	f := open(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	f.echo(f.TURN())

	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = 128
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	var files []*os.File
	release := func() {
		for _, file := range files {
			file.Close()
		}
		files = nil
	}
	defer release()

	// A test before this one may still give files back.
	request := stunRequest(t)
	var conn net.Conn
	for f.Stats().AcceptErrors < 2 {
		for {
			file, err := os.Open(os.DevNull)
			if err != nil {
				break
			}
			files = append(files, file)
		}
		files[0].Close() // for this end
		files = files[1:]
		var err error
		if conn, err = net.Dial("tcp", f.Addr().String()); err != nil {
			continue
		}
		defer conn.Close()
		say(t, conn, request, false)
		time.Sleep(20 * time.Millisecond)
	}
	release()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	hear(t, conn, request)
	if err := f.Close(); err != nil { // nothing is written to the log after this
		t.Error(err)
	}
	if n := bytes.Count(log.Bytes(), []byte("can't be accepted")); n != 1 {
		t.Errorf("%d lines:\n%s", n, &log)
	}
}
