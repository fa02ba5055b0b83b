package exclusive

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/reftest"
)

// opened opens the file name.
func opened(t *testing.T, name string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// image is an empty file of 8 MiB.
func image(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 8<<20); err != nil {
		t.Fatal(err)
	}
	return name
}

// refuses reports an error of Lock other than that f is in use, with text.
func refuses(t *testing.T, f *os.File, text string) {
	t.Helper()
	err := Lock(f)
	if !errors.Is(err, ErrInUse) || !strings.HasSuffix(err.Error(), text) {
		t.Errorf("Lock: %v, expected one that ends in %q", err, text)
	}
}

// A lock keeps writers out and lets readers in, and ends with its file.
func TestLock(t *testing.T) {
	name := image(t)
	f := opened(t, name, os.O_RDONLY)
	if err := Lock(f); err != nil {
		t.Fatal(err)
	}
	if err := Lock(opened(t, name, os.O_RDONLY)); err != nil {
		t.Errorf("a second reader: %v", err)
	}
	if again, _, err := Open(name, Read); err != nil {
		t.Errorf("a third reader: %v", err)
	} else {
		again.Close()
	}
	if w, _, err := Open(name, Write); !errors.Is(err, ErrInUse) {
		t.Errorf("a writer: %v, %v", w, err)
	}
}

func TestLockEnds(t *testing.T) {
	name := image(t)
	f := opened(t, name, os.O_RDONLY)
	if err := Lock(f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	w, _, err := Open(name, Write)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	refuses(t, opened(t, name, os.O_RDONLY), "is in use: locked by another program")
}

// QEMU locks single bytes.
func TestLockRefusesBytes(t *testing.T) {
	name := image(t)
	byQEMU := opened(t, name, os.O_RDWR)
	if err := unix.FcntlFlock(byQEMU.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: 101, Len: 1}); err != nil {
		t.Fatal(err)
	}
	refuses(t, opened(t, name, os.O_RDONLY), "is in use: locked by another program")
}

// What is no disk has an error that does not say that it is in use.
func TestLockRefusesOthers(t *testing.T) {
	for path, want := range map[string]string{t.TempDir(): "is a directory, not a file or a block device", "/dev/null": "neither a regular file"} {
		if err := Lock(opened(t, path, os.O_RDONLY)); err == nil || errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	closed := opened(t, image(t), os.O_RDONLY)
	closed.Close()
	if err := Lock(closed); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// A file that is attached to a loop device, and a device that is mounted, are in use; a device
// that is not mounted is not.
func TestInteropLockLoop(t *testing.T) {
	reftest.NeedRoot(t)
	reftest.Need(t, "mke2fs")
	name := image(t)
	reftest.Run(t, "mke2fs", "-q", "-F", name)
	device := reftest.Loop(t, name)
	refuses(t, opened(t, name, os.O_RDONLY), "is in use: attached to "+device)
	f := opened(t, device, os.O_RDONLY)
	if err := Lock(f); err != nil {
		t.Fatalf("device: %v", err)
	}
	dir := t.TempDir()
	reftest.Run(t, "mount", "-o", "ro", device, dir)
	defer reftest.Run(t, "umount", dir)
	refuses(t, opened(t, device, os.O_RDONLY), "is in use: mounted, or part of another device")
}
