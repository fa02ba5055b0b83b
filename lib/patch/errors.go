package patch

import (
	"fmt"
	"strconv"
	"syscall"
)

// OpError is an operation that is invalid or cannot be applied.
type OpError struct {
	Index int    // of the operation in its list, from 1
	Op    string // its name in JSON; "" if unknown
	Path  string // the path that it is about; "" if unknown
	Err   error
}

func (e *OpError) Error() string {
	what := e.Op
	if e.Path != "" {
		what += " " + printable(e.Path)
	}
	if what == "" {
		return fmt.Sprintf("patch %d: %v", e.Index, e.Err)
	}
	return fmt.Sprintf("patch %d (%s): %v", e.Index, what, e.Err)
}

func (e *OpError) Unwrap() error { return e.Err }

// UnknownError is the name of an operation, or of a field of one, that does not exist.
type UnknownError struct {
	text string
}

func (e *UnknownError) Error() string { return e.text }

// FileError says where in a file of patches the cause of an error stands.
type FileError struct {
	File         string
	Line, Column int // from 1; columns count characters; 0: unknown
	Err          error
}

func (e *FileError) Error() string {
	switch {
	case e.Line == 0:
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	case e.Column == 0:
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	}
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Column, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// fault is an error of a system call with a text of its own. errors.Is finds the error
// number, and so fs.ErrNotExist and fs.ErrExist.
type fault struct {
	text string
	is   syscall.Errno
}

func (e *fault) Error() string { return e.text }
func (e *fault) Unwrap() error { return e.is }

var (
	errNotFound = &fault{"not found", syscall.ENOENT}
	errExists   = &fault{"exists (set replace to allow)", syscall.EEXIST}
	errIsDir    = &fault{"is a directory", syscall.EISDIR}
	errLoop     = &fault{fmt.Sprintf("more than %d symbolic links on the way", maxLinks), syscall.ELOOP}
)

func invalid(format string, args ...any) error {
	return &fault{fmt.Sprintf(format, args...), syscall.EINVAL}
}

// maxShown is how many bytes of a text are shown in an error: more than any path has.
const maxShown = 4200

// short is the beginning of s that is shown.
func short(s string) string {
	if len(s) > maxShown {
		return s[:maxShown] + "..."
	}
	return s
}

// printable is s, in quotes if it has what would disturb a terminal or a line.
func printable(s string) string {
	s = short(s)
	if quoted := strconv.Quote(s); len(quoted) > len(s)+len(`""`) {
		return quoted
	}
	return s
}
