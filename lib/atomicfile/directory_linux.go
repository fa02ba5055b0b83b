//go:build !portable

package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// namesStreams says that what follows a colon in a name is a stream of a file.
const namesStreams = false

// directory is an open directory. It stays the same, whatever becomes of its name.
type directory struct{ f *os.File }

func openDirectory(path string) (*directory, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &directory{f}, nil
}

func (d *directory) fd() int { return int(d.f.Fd()) }

func (d *directory) close() { d.f.Close() }

// createLinkable creates a file without a name, to which link can give one.
func (d *directory) createLinkable(path string, perm fs.FileMode) (*os.File, error) {
	return createLinkableAt(d.fd(), ".", path, perm)
}

// createLinkable is that of a directory. Reading the directory need not be allowed.
func createLinkable(dir, path string, perm fs.FileMode) (*os.File, error) {
	return createLinkableAt(unix.AT_FDCWD, dir, path, perm)
}

func createLinkableAt(dirfd int, dir, path string, perm fs.FileMode) (*os.File, error) {
	fd, err := unix.Openat(dirfd, dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(perm.Perm()))
	if err != nil {
		return nil, err
	}
	if err := unix.Access(procPath(fd), unix.F_OK); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func procPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

func linkAt(f *os.File, dirfd int, name string) error {
	return unix.Linkat(unix.AT_FDCWD, procPath(int(f.Fd())), dirfd, name, unix.AT_SYMLINK_FOLLOW)
}

// link gives a file of createLinkable a name, which must be free.
func (d *directory) link(f *os.File, name string) error { return linkAt(f, d.fd(), name) }

// link is that of a directory.
func link(f *os.File, path string) error { return linkAt(f, unix.AT_FDCWD, path) }

// create creates a file called name, which must be free. In messages it is called path.
func (d *directory) create(name, path string, perm fs.FileMode) (*os.File, error) {
	fd, err := unix.Openat(d.fd(), name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, uint32(perm.Perm()))
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (d *directory) rename(old, name string) error { return unix.Renameat(d.fd(), old, d.fd(), name) }

func (d *directory) remove(name string) error { return unix.Unlinkat(d.fd(), name, 0) }

// sync makes the names in d durable, where the file system can do that.
func (d *directory) sync() error {
	err := d.f.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// createUnnamed creates a file without a name, which never gets one. In messages it is
// called path.
func createUnnamed(dir, path string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), path), nil
	}
	return createRemoved(dir, path)
}

// mayWrite returns an error if the caller may not write the file called path.
func mayWrite(path string) error {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS)
}

// cannotSync reports whether err, of an fsync, comes from a pipe or a device that has none.
func cannotSync(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EROFS)
}
