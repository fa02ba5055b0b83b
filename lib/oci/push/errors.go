package push

import (
	"fmt"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci"
)

// DigestError says that an image does not have the digest in the reference.
type DigestError struct {
	Wanted, Has digest.Digest
	Name        string // of the file that the image is in
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("the image in %s is %s", e.Name, e.Has)
}

// AbsentError says that an index lists a manifest that neither the file nor the registry has.
// It wraps [oci.ErrNotFound]. One of the images that are there can be pushed by itself; see
// oci.Options.Platform.
type AbsentError struct {
	Index, Digest digest.Digest
	Platform      string // of the manifest in the index, or ""
	Name          string // of the file
}

func (e *AbsentError) Error() string {
	what := "manifest " + e.Digest.String()
	if e.Platform != "" {
		what = "the image for " + e.Platform + ", " + e.Digest.String()
	}
	return fmt.Sprintf("%v: the index lists %s, which neither %s nor the registry has", oci.ErrNotFound, what, e.Name)
}

func (e *AbsentError) Unwrap() error { return oci.ErrNotFound }
