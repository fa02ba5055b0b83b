// Package layout has the names in an OCI image layout: those of its files, and those of
// blobs, which lie under their digests. It decides which digests may become file names.
//
// Importing it makes both algorithms of the specification known to go-digest.
package layout

import (
	_ "crypto/sha256" // for go-digest
	_ "crypto/sha512"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Names of files in a layout, with slashes.
const (
	File  = "oci-layout" // marks a directory as a layout of a version
	Index = "index.json"
	Blobs = "blobs"
)

// Version is the only version of layouts that the tools read and write.
const Version = "1.0.0"

// FileContent is the content of File, without a line feed at its end.
const FileContent = `{"imageLayoutVersion":"` + Version + `"}`

// BlobName returns the name of the blob d in a layout. CheckDigest must have accepted d.
func BlobName(d digest.Digest) string {
	return Blobs + "/" + d.Algorithm().String() + "/" + d.Encoded()
}

// ParseBlobName is the inverse of BlobName. ok is false for a name that no blob has.
func ParseBlobName(name string) (d digest.Digest, ok bool) {
	rest, ok := strings.CutPrefix(name, Blobs+"/")
	algorithm, hex, _ := strings.Cut(rest, "/")
	d = digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex)
	return d, ok && CheckDigest(d) == nil
}

// CheckDigest accepts digests of the two algorithms of the specification, in the one
// spelling that is safe as the name of a file. The error is an [*AlgorithmError] for a
// digest of another algorithm.
func CheckDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return &digestError{string(d), err}
	}
	if a := d.Algorithm(); a != digest.SHA256 && a != digest.SHA512 {
		return &AlgorithmError{d}
	}
	return nil
}

// ShortDigest returns the algorithm and the first 12 digits of d, which are enough to recognise it.
func ShortDigest(d digest.Digest) string {
	algorithm, hex, _ := strings.Cut(string(d), ":")
	return algorithm + ":" + hex[:min(len(hex), 12)]
}

// digestError says in plain words what package digest says of text that is no digest.
type digestError struct {
	text string
	err  error
}

func (e *digestError) Error() string {
	why := e.err.Error()
	switch e.err {
	case digest.ErrDigestInvalidFormat:
		why = "not sha256: and 64 hex digits"
	case digest.ErrDigestInvalidLength:
		why = "too few or too many hex digits"
	case digest.ErrDigestUnsupported:
		why = "unknown algorithm"
	}
	return fmt.Sprintf("digest %.150q: %s", e.text, why)
}

func (e *digestError) Unwrap() error { return e.err }

// AlgorithmError says that a digest is valid, but of an algorithm that is not supported.
type AlgorithmError struct{ Digest digest.Digest }

func (e *AlgorithmError) Error() string {
	return fmt.Sprintf("digest %q: algorithm %s is neither sha256 nor sha512", e.Digest, e.Digest.Algorithm())
}
