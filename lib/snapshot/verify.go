package snapshot

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"ocipipe/lib/snapshot/form"
)

// VerifyArchive reads an archive to its end and checks everything: the grammar, the hashes,
// the descriptors, and the integrity of the disks. It writes nothing.
func VerifyArchive(ctx context.Context, r io.Reader, o ReadOptions) (*form.Contents, error) {
	return (&receiver{ctx: ctx, opts: o}).receive(r)
}

// InspectArchive is VerifyArchive without the integrity of the disks.
func InspectArchive(ctx context.Context, r io.Reader, o ReadOptions) (*form.Contents, error) {
	return (&receiver{ctx: ctx, opts: o, quick: true}).receive(r)
}

// state is what shows that a file was changed.
type state struct {
	ino, dev     uint64
	size         int64
	mtime, ctime unix.Timespec
}

func stateOf(f *os.File) (s state, err error) {
	err = control(f, func(fd int) error {
		var st unix.Stat_t
		err := unix.Fstat(fd, &st)
		s = state{st.Ino, st.Dev, st.Size, st.Mtim, st.Ctim}
		return err
	})
	return s, err
}

// check returns an error if f has changed since.
func (s state) check(f *os.File) error {
	now, err := stateOf(f)
	if err == nil && now != s {
		err = ErrChanged
	}
	return err
}

// ErrChanged says that a disk was written to while it was read.
var ErrChanged = fmt.Errorf("has changed while it was read")
