package recording

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skillsage/recording/manifest"
)

// inMountSpace runs the test again in a process with mounts of its own, which the kernel takes away with it; true: this is
// that process. It skips the test where such processes are not permitted.
func inMountSpace(t *testing.T) (dir string, inside bool) {
	t.Helper()
	if dir := os.Getenv(childDir); dir != "" {
		must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		return dir, true
	}
	dir = t.TempDir()
	attributes := []*syscall.SysProcAttr{
		{Cloneflags: syscall.CLONE_NEWNS},
		{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		},
	}
	for _, a := range attributes {
		cmd := child(t, t.Name(), dir, func(cmd *exec.Cmd) { cmd.SysProcAttr = a })
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		switch {
		case err == nil:
			t.Logf("%s", out)
			return "", false
		case errors.As(err, &exit):
			t.Fatalf("%v: %s", err, out)
		case !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOSPC):
			t.Fatal(err)
		}
	}
	t.Skip("namespaces are not permitted here")
	return "", false
}

// A disk that is full ends the recording with files that are whole; the call goes on.
func TestAFullDisk(t *testing.T) {
	mount, inside := inMountSpace(t)
	if !inside {
		return
	}
	must(t, unix.Mount("tmpfs", mount, "tmpfs", 0, "size=1m,mode=700"))
	s := newScene(t)
	r := newRigAt(t, filepath.Join(mount, "recordings"), Options{Media: FromEngine(s.engine)})
	s.enter(r, "room", "c", "candidate")
	s.enter(r, "room", "r", "recruiter").call("c")
	must(t, r.Start("room", "r"))
	r.untilState("room", Recording)
	status := r.untilState("room", Failed)
	if status.Reason != manifest.Disk || !strings.Contains(status.Detail, "no space left on device") {
		t.Errorf("the status is %+v", status)
	}
	e := r.untilEvent(EventFailed, 1)
	m := r.concluded(e)
	if m.State != manifest.Failed || m.Reason != manifest.Disk || m.Duration < 3 {
		t.Errorf("the manifest is %+v", m)
	}
	files := checkFiles(t, e, m)
	wantNames(t, files, "candidate-1.webm", "recruiter-1.webm")
	for _, f := range files {
		if len(claps(t, e, f).Pairs()) < 2 || f.Start+f.Duration < m.Duration-1.5 {
			t.Errorf("too little in %+v of %v s", f, m.Duration)
		}
	}
	if legs := s.engine.Stats().Legs; legs != 2 {
		t.Errorf("%d legs are left of the call", legs)
	}
	if stats := r.Stats(); stats.Failed != 1 || stats.Active != 0 {
		t.Errorf("counted: %+v", stats)
	}

	// When there is space again, somebody may try again.
	must(t, e.Folder.Remove())
	must(t, r.Start("room", "r"))
	r.untilState("room", Recording)
	must(t, r.Stop("room", "r"))
	r.concluded(r.untilEvent(EventFinished, 1))
}

// A file system that becomes read-only, as Linux does it to one with errors.
func TestADiskThatCanNotBeWritten(t *testing.T) {
	mount, inside := inMountSpace(t)
	if !inside {
		return
	}
	must(t, unix.Mount("tmpfs", mount, "tmpfs", 0, "size=64m,mode=700"))
	r := newRigAt(t, filepath.Join(mount, "recordings"), Options{})
	r.stage.open("room")
	r.Join("room", "r", "recruiter")
	must(t, unix.Mount("", mount, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	must(t, r.Start("room", "r"))
	if status := r.untilState("room", Failed); status.Reason != manifest.Error || !strings.Contains(status.Detail, "read-only") {
		t.Errorf("the status is %+v", status)
	}
	if e := r.untilEvent(EventFailed, 1); e.Folder != nil || e.Recording != "" || e.Interview != "room" || e.Reason != manifest.Error {
		t.Errorf("told: %+v", e)
	}
	time.Sleep(100 * time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) != 1 {
		t.Errorf("told: %+v", r.events)
	}
}

// The space that is to stay free ends a recording before the disk is full.
func TestSpaceRunsLow(t *testing.T) {
	mount, inside := inMountSpace(t)
	if !inside {
		return
	}
	must(t, unix.Mount("tmpfs", mount, "tmpfs", 0, "size=16m,mode=700"))
	r := newRigAt(t, filepath.Join(mount, "recordings"), Options{MinFree: 8 << 20})
	r.stage.open("room")
	r.Join("room", "r", "recruiter")
	must(t, r.Start("room", "r"))
	r.untilState("room", Recording)
	must(t, os.WriteFile(filepath.Join(mount, "filling"), make([]byte, 10<<20), 0o600))
	status := r.untilState("room", Failed)
	if status.Reason != manifest.Disk || !strings.Contains(status.Detail, "8 MB are to stay free") {
		t.Errorf("the status is %+v", status)
	}
	if m := r.concluded(r.untilEvent(EventFailed, 1)); m.State != manifest.Failed || m.Reason != manifest.Disk {
		t.Errorf("the manifest is %+v", m)
	}
	wantCode(t, r.Start("room", "r"), CodeDisk)
	must(t, os.Remove(filepath.Join(mount, "filling")))
	r.until("there is space again", func() bool { return r.Start("room", "r") == nil })
	r.untilState("room", Recording)
}
