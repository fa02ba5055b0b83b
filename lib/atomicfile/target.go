package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Target returns the path that Create replaces for path: it resolves the last component as long
// as that is a symbolic link. The kernel resolves the other components. The result need not
// exist.
func Target(path string) (string, error) {
	if path == "" {
		return "", syscall.ENOENT
	}
	for range 40 {
		link, err := os.Readlink(path)
		if err != nil {
			return path, nil // not a link, or an error that opening it reports
		}
		if !filepath.IsAbs(link) {
			// Not filepath.Join, which removes ".." without resolving links.
			dir, _ := filepath.Split(path)
			link = dir + link
		}
		path = link
	}
	return "", syscall.ELOOP
}

// openInPlace opens a pipe or a device. A block device must not be mounted.
func openInPlace(path, target string, fi fs.FileInfo) (*File, error) {
	flags := os.O_WRONLY
	if fi.Mode().Type() == fs.ModeDevice {
		flags |= os.O_EXCL
	}
	w, err := os.OpenFile(target, flags, 0)
	if err != nil {
		return nil, named(path, err)
	}
	return &File{File: w, target: path, stop: WriteBack(w)}, nil
}

func createBeside(path, target string) (*File, error) {
	dirName, base := filepath.Split(target) // filepath.Dir would clean it
	if dirName == "" {
		dirName = "./"
	}
	if base == "" || base == "." || base == ".." {
		return nil, syscall.EISDIR
	}
	if err := checkBase(base, namesStreams); err != nil {
		return nil, err
	}
	dir, err := openDirectory(dirName)
	if err != nil {
		return nil, named("directory "+filepath.Clean(dirName), errors.Unwrap(err))
	}
	f := &File{target: path, dir: dir, base: base}
	f.File, err = dir.createLinkable(path, 0o666)
	if err != nil {
		f.File, f.temp, err = dir.createNamed(path, 0o666)
	}
	if err != nil {
		dir.close()
		return nil, &fs.PathError{Op: "create", Path: path, Err: err}
	}
	f.stop = WriteBack(f.File)
	return f, nil
}

// checkBase returns an error if nothing can be renamed to base, which would only show once the
// file is complete. streams says that what follows a colon is a stream of a file.
func checkBase(base string, streams bool) error {
	if streams && strings.Contains(base, ":") {
		return errors.New("a file on Windows has no colon in its name")
	}
	return nil
}

// Linkable creates a file without a name in the directory dir, to which Link can give one;
// until then the file vanishes with the process. It fails where the file system cannot do
// that, or without /proc. File.Name is name.
func Linkable(dir, name string, perm fs.FileMode) (*os.File, error) {
	f, err := createLinkable(dir, name, perm)
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return f, nil
}

// Link gives a file of Linkable the name path, which must be free.
func Link(f *os.File, path string) error {
	if err := link(f, path); err != nil {
		return &fs.PathError{Op: "link", Path: path, Err: err}
	}
	return nil
}

// createNamed creates a file under a name that is free. File.Name is path, if the system
// can do that.
func (d *directory) createNamed(path string, perm fs.FileMode) (f *os.File, name string, err error) {
	name, err = tryNames(func(name string) error {
		f, err = d.create(name, path, perm)
		return err
	})
	return f, name, err
}

// tryNames calls create with names for a temporary file until one is free.
func tryNames(create func(name string) error) (string, error) {
	for range 1000 {
		name := fmt.Sprintf(".ocipipe-tmp-%08x", rand.Uint32())
		err := create(name)
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return "", fs.ErrExist
}

// moveIntoPlace gives the complete file its name.
func (f *File) moveIntoPlace() error {
	if f.InPlace() {
		return nil
	}
	if f.temp == "" {
		if done, err := f.linkIntoPlace(); done || err != nil {
			return err
		}
	}
	if err := f.dir.rename(f.temp, f.base); err != nil {
		return &fs.PathError{Op: "rename", Path: f.target, Err: err}
	}
	return nil
}

// linkIntoPlace links a file without a name: as the target if that name is free, and
// otherwise under a temporary name, which the caller renames.
func (f *File) linkIntoPlace() (done bool, err error) {
	link := func(name string) error { return f.dir.link(f.File, name) }
	err = link(f.base)
	if errors.Is(err, fs.ErrExist) {
		f.temp, err = tryNames(link)
		if err == nil {
			return false, nil
		}
	}
	if err != nil {
		return false, &fs.PathError{Op: "link", Path: f.target, Err: err}
	}
	return true, nil
}

// syncDir makes the new name durable.
func (f *File) syncDir() error {
	if f.InPlace() {
		return nil
	}
	return f.dir.sync()
}

// SyncDir makes the names in the directory called path durable, where the file system can
// sync directories.
func SyncDir(path string) error {
	dir, err := openDirectory(path)
	if err != nil {
		return err
	}
	defer dir.close()
	return dir.sync()
}

// Unnamed creates a file without a name in dir, or in $TMPDIR if dir is "". The file
// vanishes with the process, whatever ends it.
func Unnamed(dir string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	f, err := createUnnamed(dir, filepath.Join(dir, unnamed))
	if err != nil {
		return nil, &unnamedError{named(dir, err)}
	}
	return f, nil
}

// unnamed is what files of Unnamed are called in messages, in their directory.
const unnamed = "(spool)"

// unnamedError is the error about a file that Unnamed could not make.
type unnamedError struct{ error }

func (e *unnamedError) Unwrap() error { return e.error }

// IsUnnamed reports whether err is about a file of Unnamed: it could not be made, or not be
// written. Another directory may help.
func IsUnnamed(err error) bool {
	var pe *fs.PathError
	return errors.As(err, new(*unnamedError)) || errors.As(err, &pe) && filepath.Base(pe.Path) == unnamed
}
