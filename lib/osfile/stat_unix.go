//go:build unix

package osfile

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// StateOf returns the state of f.
func StateOf(f *os.File) (s State, err error) {
	err = Control(f, func(fd uintptr) error {
		var st unix.Stat_t
		err := unix.Fstat(int(fd), &st)
		s = State{ID{uint64(st.Dev), st.Ino}, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
		return err
	})
	return s, err
}

// AttrOf returns what the system says of the file of info, which package os has made.
func AttrOf(info fs.FileInfo) Attr {
	st := info.Sys().(*syscall.Stat_t)
	return Attr{ID{uint64(st.Dev), st.Ino}, uint16(st.Mode & 0o7777), st.Uid, st.Gid, uint64(st.Nlink)}
}

// Allocated returns how many bytes the file of info, which package os has made, takes on
// its disk.
func Allocated(info fs.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks * 512 }
