package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// takeDescriptor returns descriptor n, which the parent process has left open for writing.
// No child process gets it, so that its reader sees the end when it is closed here.
func takeDescriptor(n int) (*os.File, error) {
	if n >= 0 && n <= 2 {
		return nil, errors.New("is a standard stream: use --report=- for standard output, or say 3>FILE --report-fd=3")
	}
	if err := checkDescriptor(n); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(uintptr(n), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(n), fmt.Sprintf("descriptor %d", n)), nil
}

// allocatedBy returns how many bytes a file takes on its disk, or nil if that is not known.
func allocatedBy(info fs.FileInfo) *int64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	bytes := st.Blocks * 512
	return &bytes
}
