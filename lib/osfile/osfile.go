// Package osfile has what each operating system does with files in its own way, beyond
// package os: locks, holes, copies that the kernel makes, identities. What a system cannot
// do has the error [errors.ErrUnsupported], or the plainest answer; each function says
// which. So the packages above need not tell systems apart.
package osfile

import (
	"errors"
	"os"
)

// ErrLocked is the error of Lock about a file that somebody else has locked.
var ErrLocked = errors.New("locked by another program")

// ErrDevice is the error about block devices on a system for which they are not supported.
var ErrDevice = errors.New("is a device, which is supported on Linux only")

// LockKind is how a file is locked.
type LockKind int

// The kinds of locks.
const (
	Exclusive LockKind = iota // nobody else may have a lock
	Shared                    // others may have the same
)

// ID identifies a file on this machine while it exists.
type ID struct{ Dev, Ino uint64 }

// Attr is what a system says of a file beyond fs.FileInfo.
type Attr struct {
	ID       ID
	Mode     uint16 // the lower 12 bits
	UID, GID uint32
	Links    uint64 // how many names the file has
}

// Identify returns the identity of f.
func Identify(f *os.File) (ID, error) {
	s, err := StateOf(f)
	return s.id, err
}

// State changes whenever a file is written to.
type State struct {
	id                 ID
	size, mtime, ctime int64
}

// Control calls use with the descriptor of f. Unlike f.Fd it leaves the flags of the open
// file, which other processes share, as they are.
func Control(f *os.File, use func(fd uintptr) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := c.Control(func(fd uintptr) { err = use(fd) }); cerr != nil {
		return cerr
	}
	return err
}
