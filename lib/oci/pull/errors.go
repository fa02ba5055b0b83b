package pull

import (
	"errors"
	"fmt"
	"strings"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/registry"
)

// ReferenceError is an error about an image in a registry, or a reference that should
// name one. It says what the user may have meant instead. Its text is that of Err.
type ReferenceError struct {
	Ref string // as given to Open
	Err error

	// File is a reference to the file or layout at the path Ref; "" if there is none.
	File string
	// Lower is Ref in lower case, if only capitals keep it from being a name; else "".
	Lower string
	// DefaultTag is the tag that was asked for, and not found, because Ref has no tag;
	// else "".
	DefaultTag string
}

func (e *ReferenceError) Error() string { return e.Err.Error() }
func (e *ReferenceError) Unwrap() error { return e.Err }

// MirrorError is an error about wrong bytes that may have come from mirrors. Its text is
// that of Err.
type MirrorError struct {
	Mirrors []string // the hosts that have answered
	Err     error
}

func (e *MirrorError) Error() string { return e.Err.Error() }
func (e *MirrorError) Unwrap() error { return e.Err }

// AbsentError says that the policy is Never and the cache lacks something that is needed.
// It wraps [oci.ErrNotFound].
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

// blame adds the mirrors that may have sent wrong bytes to err, if err is about such bytes.
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

// notFoundError is oci.ErrNotFound with the text of the registry.
type notFoundError struct{ error }

func (e notFoundError) Unwrap() error      { return e.error }
func (notFoundError) Is(target error) bool { return target == oci.ErrNotFound }

// tryAgain is an error that may not occur in another run.
type tryAgain struct{ error }

func (e tryAgain) Unwrap() error { return e.error }

// Temporary reports that a retry may help.
func (tryAgain) Temporary() bool { return true }

// lowerName returns s with the name in lower case, but not the tag or digest.
func lowerName(s string) string {
	end := strings.LastIndexByte(s, '/') + 1
	if i := strings.IndexAny(s[end:], ":@"); i >= 0 {
		end += i
	} else {
		end = len(s)
	}
	return strings.ToLower(s[:end]) + s[end:]
}
