// Package layout is the names in an OCI image layout: of its files, and of blobs, which
// lie under their digests. It decides which digests become the name of a file.
//
// Importing it makes both algorithms of the specification known to go-digest.
package layout

import (
	_ "crypto/sha256" // for go-digest
	_ "crypto/sha512"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Names of files in a layout, with slashes.
const (
	File  = "oci-layout" // says that a directory is a layout, and of which version
	Index = "index.json"
	Blobs = "blobs"
)

// Version is the version of layouts that is read and written.
const Version = "1.0.0"

// FileContent is what is written to File, without a line feed at its end.
const FileContent = `{"imageLayoutVersion":"` + Version + `"}`

// BlobName is where a layout keeps the blob d, which CheckDigest must have accepted.
func BlobName(d digest.Digest) string {
	return Blobs + "/" + d.Algorithm().String() + "/" + d.Encoded()
}

// CheckDigest accepts digests of the two algorithms of the specification, in the one
// spelling that is safe as the name of a file. The error is an [*AlgorithmError] for a
// digest of another algorithm.
func CheckDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %.150q: %w", d, err)
	}
	if a := d.Algorithm(); a != digest.SHA256 && a != digest.SHA512 {
		return &AlgorithmError{d}
	}
	return nil
}

// AlgorithmError is about a digest that is valid but of an algorithm that is not taken.
type AlgorithmError struct{ Digest digest.Digest }

func (e *AlgorithmError) Error() string {
	return fmt.Sprintf("digest %q: algorithm %s is neither sha256 nor sha512", e.Digest, e.Digest.Algorithm())
}
