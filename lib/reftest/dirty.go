package reftest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// DirtyPages returns how many pages of f are not on disk yet. It skips the test where that
// cannot be known, or where no disk is below.
func DirtyPages(t testing.TB, f *os.File) uint64 {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil || fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.OVERLAYFS_SUPER_MAGIC {
		t.Skipf("file system %#x has no disk of its own, %v", fs.Type, err)
	}
	var c unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &c, 0); err != nil {
		t.Skip("cachestat: ", err)
	}
	return c.Dirty + c.Writeback
}
