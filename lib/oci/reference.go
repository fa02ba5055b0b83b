package oci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"ocipipe/lib/layout"
)

// parseName reads the name of an image in a registry. Its errors say what to write.
func parseName(s string) (name.Reference, error) {
	bare := s
	if _, rest, isURL := strings.Cut(s, "://"); isURL {
		bare = rest
	} else if ref, err := name.ParseReference(s); err == nil {
		return ref, nil
	}
	err := fmt.Errorf("%q is not the name of an image", s)
	lower := lowerName(bare)
	if _, perr := name.ParseReference(lower); lower == s || perr != nil {
		return nil, fmt.Errorf("%w: want [REGISTRY/]NAME[:TAG|@DIGEST]", err)
	}
	if bare == s {
		err = fmt.Errorf("%w: names have no capitals", err)
	}
	return nil, &hintError{err, "write " + lower}
}

// lowerName is s with its name, not its tag or digest, in lower case.
func lowerName(s string) string {
	end := strings.LastIndexByte(s, '/') + 1
	if i := strings.IndexAny(s[end:], ":@"); i >= 0 {
		end += i
	} else {
		end = len(s)
	}
	return strings.ToLower(s[:end]) + s[end:]
}

// hintTag adds to err that the tag of ref, which is not there, was not given.
func hintTag(s string, ref name.Reference, err error) error {
	tag, ok := ref.(name.Tag)
	if !ok || !errors.Is(err, ErrNotFound) || strings.HasSuffix(s, ":"+tag.TagStr()) {
		return err
	}
	return &hintError{err, fmt.Sprintf("no tag was given, so %q was asked for; %s:TAG names another", tag.TagStr(), s)}
}

// hintError is an error with advice for the user.
type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }

// Hint is the advice.
func (e *hintError) Hint() string { return e.hint }

// hintAtPath adds to err that s, which was taken for the name of an image, is
// also that of a file or layout.
func hintAtPath(s string, err error) error {
	switch ref := atPath(s); {
	case strings.HasPrefix(ref, "oci:"):
		return &hintError{err, "for the layout in that directory write " + ref}
	case ref != "":
		return &hintError{err, "for the file write " + ref}
	}
	return err
}

// atPath is the reference to the file or layout at s, PATH[:TAG|@DIGEST], or "".
func atPath(s string) string {
	path, _, err := splitPath(s)
	if err != nil {
		return ""
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return ""
	case info.Mode().IsRegular():
		return "oci-archive:" + s
	case exists(filepath.Join(path, layout.Index)):
		return "oci:" + s
	}
	return ""
}

// Reference is how Open is told of s, which was taken for a file that is not there: of
// an image in a layout or archive that is there, or one in a registry. It is "" where s
// can be neither.
func Reference(s string) string {
	for _, scheme := range fileSchemes {
		if rest, ok := strings.CutPrefix(s, scheme); ok {
			if atPath(rest) == "" {
				return ""
			}
			return s
		}
	}
	if ref := atPath(s); ref != "" {
		return ref
	}
	if _, err := name.ParseReference(strings.TrimPrefix(s, "docker://")); err != nil {
		return ""
	}
	return s
}
