//go:build !portable

package cli

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The runtime opens /dev/null in place of a closed standard stream before any Go code
// runs. From then on it looks like a /dev/null that the user asked for. So the linker
// flag -E makes the program begin at ocipipe_start, in start_*.s, which looks at the
// streams and then enters the runtime. In a binary built without that flag
// streamsAtStart is 0.

// streamsAtStart has bit n set if descriptor n was closed, and streamsSeen if ocipipe_start
// has run.
var streamsAtStart uint32

const streamsSeen = 1 << 3

// restoreClosed makes a standard input or output that was closed fail when it is used, also
// as /dev/stdin or /dev/stdout: it puts a directory there that can be neither read nor
// written. So the next file that is opened does not get the number. If standard error was
// closed, messages are lost.
func restoreClosed() error {
	for fd := range 2 {
		if streamsAtStart&(1<<fd) == 0 {
			continue
		}
		dir, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Dup3(dir, fd, 0)
			unix.Close(dir)
		}
		if err != nil {
			return fmt.Errorf("standard streams: %w", err)
		}
	}
	return nil
}

// lacks reports whether f is open for the other direction only, or for neither.
func lacks(f *os.File, other int) (yes bool) {
	control(f, func(fd int) error {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		yes = err == nil && (flags&unix.O_ACCMODE == other || flags&unix.O_PATH != 0)
		return err
	})
	return yes
}

// isReplaced reports whether f may be what the runtime put in the place of a closed
// stream: /dev/null, open for both directions.
func isReplaced(f *os.File) (may bool) {
	if streamsAtStart&streamsSeen != 0 {
		return false // restoreClosed has seen to it
	}
	control(f, func(fd int) error {
		var st, null unix.Stat_t
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil || flags&(unix.O_ACCMODE|unix.O_CLOEXEC|unix.O_APPEND) != unix.O_RDWR {
			return err
		}
		may = unix.Fstat(fd, &st) == nil && unix.Stat(os.DevNull, &null) == nil && st.Rdev == null.Rdev && st.Rdev != 0
		return nil
	})
	return may
}

// reopen opens a fresh standard output for reading too, with an offset of its own. It
// returns nil if standard output cannot be written in place.
func reopen(stdout *os.File) *os.File {
	if !isFresh(stdout) {
		return nil
	}
	var f *os.File
	control(stdout, func(fd int) (err error) {
		n, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err == nil {
			f = os.NewFile(uintptr(n), stdout.Name())
		}
		return err
	})
	return f
}
