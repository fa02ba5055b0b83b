// Package atomicfile writes a file completely or not at all. The bytes go to a
// temporary file in the directory of the target, which replaces the target in one
// step.
//
// Where the file system supports it (O_TMPFILE), the temporary file has no name until
// it is complete, so that not even SIGKILL leaves anything behind. Otherwise it is
// called .ocipipe-tmp-XXXXXXXX. An existing target is always replaced through such a
// name, which then exists only between two system calls.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// ErrAborted is what Commit returns after Abort.
var ErrAborted = errors.New("aborted")

// File is the new content of a target. It is an ordinary file, readable and writable
// at any offset, until Commit or Abort ends it.
//
// Commit, Abort and Close may be called from several goroutines, such as a signal
// handler: the first call decides, later ones do nothing.
type File struct {
	*os.File // named after the target; returns os.ErrClosed after Commit or Abort

	target string
	dir    *directory // of the target; nil for one written in place
	base   string     // the target's name in dir
	temp   string     // name of the temporary file in dir; "" if it has none
	stop   func()     // ends the early writing to disk

	mu     sync.Mutex
	noSync bool
	over   error // nil while open, errDone after Commit, else why it cannot be committed
}

var errDone = errors.New("already committed")

// Create starts new content for path. What others see under that name does not change
// before Commit.
//
// Create follows a symbolic link: its target is replaced. The new file has the
// permissions of the file that it replaces, or 0666 minus the umask. Create refuses a
// target that the caller may not write, even if the directory is writable. An existing
// target that is not a regular file (a pipe, a device) is opened and written in place;
// see [File.InPlace].
//
// While the content is written, the kernel already writes it to disk; see [WriteBack].
//
// Errors name path.
func Create(path string) (*File, error) {
	// The target of a link may have no name that could be followed: /dev/stdout
	// leads to "pipe:[1234]".
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		return openInPlace(path, path, fi)
	}
	target, err := Target(path)
	if err != nil {
		return nil, named(path, err)
	}
	var old fs.FileInfo
	switch fi, err := os.Lstat(target); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, named(path, err)
	case !fi.Mode().IsRegular():
		return openInPlace(path, target, fi) // it appeared meanwhile
	default:
		if err := mayWrite(target); err != nil {
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

// InPlace reports whether the target is a pipe or a device that is written directly.
// Such a file may not be seekable, and Abort cannot take back what was written.
func (f *File) InPlace() bool { return f.dir == nil }

// NoSync makes Commit leave the content, and the name, to the kernel: after a crash of the
// machine the target may be missing, empty or damaged. Whatever else ends the process, the
// target is old or complete, as ever. Call it before Commit.
func (f *File) NoSync() {
	f.stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.noSync = true
}

// Commit makes the content durable and replaces the target with it. If Commit
// succeeds, the target holds exactly what was written, even after a crash, unless
// NoSync was called. If it fails, the target is unchanged and the temporary file is gone;
// only if the last step fails, the fsync of the directory, is the target already new.
func (f *File) Commit() error {
	noSync, err := f.state()
	if err != nil {
		return named(f.target, err)
	}
	f.stop()
	if noSync {
		return f.publish()
	}
	// This takes long, so the lock is not held: an Abort meanwhile closes the file.
	err = f.File.Sync()
	if f.InPlace() && cannotSync(err) {
		err = nil // pipes and many devices do not support fsync
	}
	if err != nil {
		f.end(err)
		return named(f.target, err)
	}
	return f.publish()
}

// Abort drops the content and leaves the target unchanged. After Commit it does
// nothing, so it can be deferred.
func (f *File) Abort() { f.end(ErrAborted) }

// Close is Abort, for callers that expect an io.Closer.
func (f *File) Close() error {
	f.Abort()
	return nil
}

func (f *File) state() (noSync bool, over error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.noSync, f.over
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
	if !f.noSync {
		err = f.syncDir()
	}
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

// release removes the temporary file, if it has a name, and closes the directory.
func (f *File) release(why error) {
	f.over = why
	f.stop()
	if f.dir == nil {
		return
	}
	if f.temp != "" {
		f.dir.remove(f.temp)
	}
	f.dir.close()
}

// named returns err with path in front; of a *PathError only operation and cause stay, and of
// one that says what a file is, or is not, only the cause.
func named(path string, err error) error {
	if err == nil {
		return nil
	}
	var pe *fs.PathError
	switch {
	case !errors.As(err, &pe):
	case pe.Op == "lstat" || errors.Is(pe.Err, syscall.EISDIR):
		return fmt.Errorf("%s: %w", path, pe.Err)
	default:
		return fmt.Errorf("%s: %s: %w", path, pe.Op, pe.Err)
	}
	return fmt.Errorf("%s: %w", path, err)
}
