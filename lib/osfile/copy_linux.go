//go:build !portable

package osfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// Clone makes dst, at to, share the blocks of the first n bytes of src, or of all if n is 0.
func Clone(dst *os.File, to int64, src *os.File, n int64) error {
	return Control(src, func(from uintptr) error {
		return Control(dst, func(fd uintptr) error {
			return unix.IoctlFileCloneRange(int(fd), &unix.FileCloneRange{Src_fd: int64(from), Src_length: uint64(n), Dest_offset: uint64(to)})
		})
	})
}

// maxCopy is how much one call copies at most: an int of 32 bits holds it.
const maxCopy = 1 << 30

// CopyRange makes the kernel copy n bytes of src at from to dst at to, or to the offset of
// dst, which moves, if to is negative. It returns how many it copied: fewer if src ends
// before, and if the kernel cannot do it.
func CopyRange(dst *os.File, to int64, src *os.File, from, n int64) (done int64) {
	at := &to
	if to < 0 {
		at = nil
	}
	Control(src, func(in uintptr) error {
		return Control(dst, func(out uintptr) error {
			for done < n {
				k, err := unix.CopyFileRange(int(in), &from, int(out), at, int(min(n-done, maxCopy)), 0)
				if k <= 0 && err != unix.EINTR {
					break
				}
				done += int64(max(k, 0))
			}
			return nil
		})
	})
	return done
}
