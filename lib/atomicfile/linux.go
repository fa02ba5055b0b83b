package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// followLinks resolves the last component of path as long as it is a symbolic link.
// The kernel resolves the other components. The result need not exist.
func followLinks(path string) (string, error) {
	if path == "" {
		return "", unix.ENOENT
	}
	for range 40 {
		link, err := os.Readlink(path)
		if err != nil {
			return path, nil // not a link, or an error that opening it reports
		}
		if !filepath.IsAbs(link) {
			// Not filepath.Join, which removes ".." without resolving links.
			link = path[:strings.LastIndexByte(path, '/')+1] + link
		}
		path = link
	}
	return "", unix.ELOOP
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
	dirName, base := "./", target
	if i := strings.LastIndexByte(target, '/'); i >= 0 {
		dirName, base = target[:i+1], target[i+1:] // filepath.Dir would clean it
	}
	if base == "" || base == "." || base == ".." {
		return nil, unix.EISDIR
	}
	dir, err := os.Open(dirName)
	if err != nil {
		return nil, named("directory "+filepath.Clean(dirName), errors.Unwrap(err))
	}
	f := &File{target: path, dir: dir, base: base}
	fd, err := openUnnamed(int(dir.Fd()), ".", 0o666)
	if err != nil {
		fd, err = f.openNamed()
	}
	if err != nil {
		dir.Close()
		return nil, &fs.PathError{Op: "create", Path: path, Err: err}
	}
	f.File = os.NewFile(uintptr(fd), path)
	f.stop = WriteBack(f.File)
	return f, nil
}

// Linkable creates a file without a name in the directory dir, to which Link can give one;
// until then the file vanishes with the process. It fails where the file system cannot do
// that, or without /proc. File.Name is name.
func Linkable(dir, name string, perm fs.FileMode) (*os.File, error) {
	fd, err := openUnnamed(unix.AT_FDCWD, dir, perm)
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Link gives a file of Linkable the name path, which must be free.
func Link(f *os.File, path string) error {
	if err := linkAt(f, unix.AT_FDCWD, path); err != nil {
		return &fs.PathError{Op: "link", Path: path, Err: err}
	}
	return nil
}

// openUnnamed creates a file without a name, which linkAt can link.
func openUnnamed(dirfd int, dir string, perm fs.FileMode) (int, error) {
	fd, err := unix.Openat(dirfd, dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(perm.Perm()))
	if err != nil {
		return -1, err
	}
	if err := unix.Access(procPath(fd), unix.F_OK); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func procPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

func linkAt(f *os.File, dirfd int, name string) error {
	return unix.Linkat(unix.AT_FDCWD, procPath(int(f.Fd())), dirfd, name, unix.AT_SYMLINK_FOLLOW)
}

func (f *File) openNamed() (fd int, err error) {
	f.temp, err = tryNames(func(name string) error {
		fd, err = unix.Openat(int(f.dir.Fd()), name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o666)
		return err
	})
	return fd, err
}

// tryNames calls create with names for a temporary file until one is free.
func tryNames(create func(name string) error) (string, error) {
	for range 1000 {
		name := fmt.Sprintf(".ocipipe-tmp-%08x", rand.Uint32())
		err := create(name)
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, unix.EEXIST) {
			return "", err
		}
	}
	return "", unix.EEXIST
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
	dirfd := int(f.dir.Fd())
	if err := unix.Renameat(dirfd, f.temp, dirfd, f.base); err != nil {
		return &fs.PathError{Op: "rename", Path: f.target, Err: err}
	}
	return nil
}

// linkIntoPlace links a file without a name: as the target if that name is free, and
// otherwise under a temporary name, which the caller renames.
func (f *File) linkIntoPlace() (done bool, err error) {
	link := func(name string) error { return linkAt(f.File, int(f.dir.Fd()), name) }
	err = link(f.base)
	if errors.Is(err, unix.EEXIST) {
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
	return syncNames(f.dir)
}

// SyncDir makes the names in the directory called path durable, where the file system can
// sync directories.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return syncNames(dir)
}

func syncNames(dir *os.File) error {
	err := dir.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// Unnamed creates a file without a name in dir, or in $TMPDIR if dir is "". The file
// vanishes with the process, whatever ends it.
func Unnamed(dir string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir+"/(spool)"), nil
	}
	f, err := os.CreateTemp(dir, ".ocipipe-tmp-*")
	if err != nil {
		return nil, named(dir, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, named(dir, err)
	}
	return f, nil
}
