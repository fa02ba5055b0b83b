package pull

import (
	"errors"
	"fmt"
	"strings"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/registry"
)

// ReferenceError is an error about an image in a registry, or a reference that should
// name one, with what may have been meant instead. Its text is that of Err.
type ReferenceError struct {
	Ref string // as given to Open
	Err error

	// File is a reference to the file or layout that is at the path Ref; "" if there
	// is none.
	File string
	// Lower is Ref with a name in lower case, where only that makes it a name; else "".
	Lower string
	// DefaultTag is the tag that was asked for, and is not there, where Ref has none;
	// else "".
	DefaultTag string
}

func (e *ReferenceError) Error() string { return e.Err.Error() }
func (e *ReferenceError) Unwrap() error { return e.Err }

// MirrorError is an error about wrong bytes that may have come from mirrors. Its text is
// that of Err.
type MirrorError struct {
	Mirrors []string // the hosts that have sent something
	Err     error
}

func (e *MirrorError) Error() string { return e.Err.Error() }
func (e *MirrorError) Unwrap() error { return e.Err }

// AbsentError says that the policy is Never and that the cache does not have what is
// needed. It wraps [oci.ErrNotFound].
type AbsentError struct {
	Cache string // directory of the cache; "" if there is none
	What  string // what is missing
}

func (e *AbsentError) Error() string {
	if e.Cache == "" {
		return fmt.Sprintf("%v: %s: there is no cache", oci.ErrNotFound, e.What)
	}
	return fmt.Sprintf("%v in the cache %s: %s", oci.ErrNotFound, e.Cache, e.What)
}

func (e *AbsentError) Unwrap() error { return oci.ErrNotFound }

// blame adds to err, where it is about wrong bytes, the mirrors that may have sent
// them.
func (r *remote) blame(err error) error {
	mirrors := r.repo.Mirrors()
	if len(mirrors) == 0 || !errors.Is(err, oci.ErrCorrupt) || errors.As(err, new(*MirrorError)) {
		return err
	}
	return &MirrorError{mirrors, err}
}

// explain turns errors of package registry into those of package oci.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, registry.ErrNotFound):
		return notFoundError{err}
	case errors.Is(err, registry.ErrSize), errors.Is(err, registry.ErrProtocol):
		return fmt.Errorf("%w: %w", oci.ErrCorrupt, err)
	}
	return err
}

// notFoundError is ErrNotFound in the registry's own words.
type notFoundError struct{ error }

func (e notFoundError) Unwrap() error      { return e.error }
func (notFoundError) Is(target error) bool { return target == oci.ErrNotFound }

// tryAgain is an error that another run may not meet.
type tryAgain struct{ error }

func (e tryAgain) Unwrap() error { return e.error }

// Temporary reports that a retry may help.
func (tryAgain) Temporary() bool { return true }

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
