package snapshot

import (
	"context"
	"errors"
	"io"
	"os"

	"ocipipe/lib/osfile"
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

// checkUnchanged returns an error if f is not in the state that it was in before.
func checkUnchanged(f *os.File, before osfile.State) error {
	now, err := osfile.StateOf(f)
	if err == nil && now != before {
		err = ErrChanged
	}
	return err
}

// ErrChanged says that a disk was written to while it was read.
var ErrChanged = errors.New("has changed while it was read")
