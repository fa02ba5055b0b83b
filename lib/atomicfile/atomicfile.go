// Package atomicfile writes a file completely or not at all: the bytes go to a
// temporary file beside the target, which takes the target's place in one step.
//
// Where the file system can do it the temporary file has no name until it is
// complete, so that not even SIGKILL leaves anything behind; otherwise it is
// called .ocipipe-tmp-XXXXXXXX. (A target that exists is replaced through such a
// name in any case, but only for the moment between two system calls.)
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrAborted is what Commit returns after Abort.
var ErrAborted = errors.New("aborted")

// File is the new content of a target. It is an ordinary file, readable and
// writable anywhere, until Commit or Abort ends it.
//
// Commit, Abort and Close may be called from several goroutines, a signal
// handler's among them: the first one decides, and the others do nothing.
type File struct {
	*os.File // named after the target; reports os.ErrClosed once it is over

	target string
	dir    *os.File // the directory of the target; nil for one written in place
	base   string   // the target's name in dir
	temp   string   // name of the temporary file in dir; "" if it has none

	mu   sync.Mutex
	over error // nil while open, errDone after Commit, else why there is no commit
}

var errDone = errors.New("already committed")

// Create starts a new content for path. Nothing that can be seen under that name
// changes before Commit.
//
// A symbolic link is followed: what it points to is replaced. The new file has
// the permissions of the one that it replaces, or 0666 less the umask; a target
// that the caller may not write is refused even where its directory could be
// written. A target that exists and is not a regular file (a pipe, a device) is
// opened and written in place, see InPlace.
//
// The errors of Create name path.
func Create(path string) (*File, error) {
	// What the kernel finds may have no name to be followed to: /dev/stdout is a
	// link to "pipe:[1234]".
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		return openInPlace(path, path, fi)
	}
	target, err := followLinks(path)
	if err != nil {
		return nil, named(path, err)
	}
	var old fs.FileInfo
	switch fi, err := os.Lstat(target); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, named(path, err)
	case !fi.Mode().IsRegular():
		return openInPlace(path, target, fi) // it came in between
	default:
		if err := unix.Faccessat(unix.AT_FDCWD, target, unix.W_OK, unix.AT_EACCESS); err != nil {
			return nil, fmt.Errorf("%s: write: %w", path, err)
		}
		old = fi
	}
	f, err := createBeside(path, target)
	if err != nil {
		return nil, named(path, err)
	}
	if old != nil {
		if err := f.File.Chmod(old.Mode().Perm()); err != nil {
			f.Abort()
			return nil, named(path, err)
		}
	}
	return f, nil
}

// InPlace reports whether the target is a pipe or a device that is written as it
// is. Such a file may not be seekable, and Abort cannot take back what was
// written.
func (f *File) InPlace() bool { return f.dir == nil }

// Commit makes the content durable and puts it in the place of the target. If it
// succeeds, the target holds exactly what was written, also after a crash. If it
// fails, the target is as it was and the temporary file is gone; only where the
// last step fails, the fsync of the directory, the target is already new.
func (f *File) Commit() error {
	if err := f.state(); err != nil {
		return named(f.target, err)
	}
	// The long part, without the lock: an Abort meanwhile closes the file.
	err := f.File.Sync()
	if f.InPlace() && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EROFS)) {
		err = nil // pipes and many devices know no fsync
	}
	if err != nil {
		f.end(err)
		return named(f.target, err)
	}
	return f.publish()
}

// Abort drops the content; the target stays as it was. After Commit it does
// nothing, so that it can be deferred.
func (f *File) Abort() { f.end(ErrAborted) }

// Close is Abort, for the sake of whoever closes what it opened.
func (f *File) Close() error {
	f.Abort()
	return nil
}

func (f *File) state() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

func (f *File) publish() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over != nil {
		return named(f.target, f.over)
	}
	err := f.moveIntoPlace()
	if cerr := f.File.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		f.release(err)
		return named(f.target, err)
	}
	err = f.syncDir()
	f.temp = ""
	f.release(errDone)
	return named(f.target, err)
}

func (f *File) end(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over == nil {
		f.File.Close()
		f.release(why)
	}
}

// release removes what has a name and lets go of the directory.
func (f *File) release(why error) {
	f.over = why
	if f.dir == nil {
		return
	}
	if f.temp != "" {
		unix.Unlinkat(int(f.dir.Fd()), f.temp, 0)
	}
	f.dir.Close()
}

// named puts path before the cause of a *PathError in place of its own words.
func named(path string, err error) error {
	if err == nil {
		return nil
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %s: %w", path, pe.Op, pe.Err)
	}
	return fmt.Errorf("%s: %w", path, err)
}
