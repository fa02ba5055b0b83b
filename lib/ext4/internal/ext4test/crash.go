package ext4test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/reftest"
)

// How Crash ends a mounted file system: EXT4_IOC_SHUTDOWN and its flags.
const (
	iocShutdown      = 0x8004587D
	ShutdownFlushLog = 1 // what has been done is in the journal
	ShutdownNow      = 2 // what the journal does not have yet is lost
)

// Crash mounts image with options, each after a comma, lets work use it, and ends that so that
// the journal is what it is in a crash.
func Crash(t testing.TB, image, options string, how uint32, work func(dir string)) {
	t.Helper()
	reftest.NeedRoot(t)
	dir := t.TempDir()
	reftest.Run(t, "mount", "-o", "loop"+options, image, dir)
	defer reftest.Run(t, "umount", dir)
	work(dir)
	Shutdown(t, dir, how)
}

// Shutdown ends the file system that is mounted at dir, as Crash does. Files may be open.
func Shutdown(t testing.TB, dir string, how uint32) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), iocShutdown, int(how)); err != nil {
		t.Fatal(err)
	}
}
