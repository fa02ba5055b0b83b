//go:build !portable

package atomicfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// startAll starts the writing of all pages of f that are dirty, without a wait for the
// disk. It returns how many blocks f has, those that are only in memory included.
func startAll(f *os.File) (blocks int64, err error) {
	c, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := c.Control(func(fd uintptr) {
		var st unix.Stat_t
		if err = unix.Fstat(int(fd), &st); err == nil {
			blocks = st.Blocks
			err = startRange(fd, 0, 0)
		}
	})
	if cerr != nil {
		return 0, cerr
	}
	return blocks, err
}

// StartWriteback makes the kernel begin to write n bytes of f at off to disk, as WriteBack
// does for the whole file. It does not wait.
func StartWriteback(f *os.File, off, n int64) {
	if c, err := f.SyscallConn(); err == nil {
		c.Control(func(fd uintptr) { startRange(fd, off, n) })
	}
}

// startRange starts the writing of n bytes at off, or of all from there on if n is 0.
func startRange(fd uintptr, off, n int64) error {
	return unix.SyncFileRange(int(fd), off, n, unix.SYNC_FILE_RANGE_WRITE)
}
