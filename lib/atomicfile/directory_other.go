//go:build !linux || portable

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// namesStreams says that what follows a colon in a name is a stream of a file.
const namesStreams = runtime.GOOS == "windows"

// directory is an open directory. It stays the same, whatever becomes of its name. Files
// below an os.Root can be renamed and removed while they are open, on Windows too.
type directory struct{ root *os.Root }

func openDirectory(path string) (*directory, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &directory{root}, nil
}

func (d *directory) close() { d.root.Close() }

// createLinkable would create a file without a name, to which link can give one.
func (d *directory) createLinkable(path string, perm fs.FileMode) (*os.File, error) {
	return nil, errors.ErrUnsupported
}

// createLinkable is that of a directory.
func createLinkable(dir, path string, perm fs.FileMode) (*os.File, error) {
	return nil, errors.ErrUnsupported
}

// link would give a file of createLinkable a name.
func (d *directory) link(f *os.File, name string) error { return errors.ErrUnsupported }

// link is that of a directory.
func link(f *os.File, path string) error { return errors.ErrUnsupported }

// create creates a file called name, which must be free. In messages it has that name.
func (d *directory) create(name, _ string, perm fs.FileMode) (*os.File, error) {
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, cause(err)
	}
	allowHoles(f)
	return f, nil
}

func (d *directory) rename(old, name string) error { return cause(d.root.Rename(old, name)) }

func (d *directory) remove(name string) error {
	err := d.root.Remove(name)
	if err != nil && runtime.GOOS == "windows" { // where it is too old to remove files by their handle
		err = os.Remove(filepath.Join(d.root.Name(), name))
	}
	return cause(err)
}

// cause returns what package os has wrapped.
func cause(err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		return pe.Err
	case errors.As(err, &le):
		return le.Err
	}
	return err
}

// sync makes the names in d durable, where the system can do that. Windows keeps names in a
// journal.
func (d *directory) sync() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); !cannotSync(err) {
		return err
	}
	return nil
}

// mayWrite returns an error if the caller may not write the file called path.
func mayWrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return cause(err)
	}
	return f.Close()
}

// cannotSync reports whether err, of an fsync, comes from a pipe or a device that has none.
func cannotSync(err error) bool {
	for _, none := range []error{syscall.EINVAL, syscall.ENOTSUP, syscall.EROFS, errors.ErrUnsupported} {
		if errors.Is(err, none) {
			return true
		}
	}
	return err != nil && runtime.GOOS == "windows" // which has many
}
