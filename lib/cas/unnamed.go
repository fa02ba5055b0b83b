package cas

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// newFile makes a new file in the directory of temp for what will be called name, which it
// has in messages. Where the file system can do that, the file has no name yet, so that a
// killed process leaves nothing; otherwise it is called temp.
func (s *Store) newFile(temp, name string) (f *os.File, unnamed bool, err error) {
	dir := filepath.Dir(temp)
	if err := s.mkdirAll(dir); err != nil {
		return nil, false, err
	}
	perm := s.mode&0o666 | 0o600
	fd, err := unix.Open(s.path(dir), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(perm))
	if err == nil && unix.Access(procPath(fd), unix.F_OK) == nil {
		f := os.NewFile(uintptr(fd), s.path(name))
		f.Chmod(perm) // whatever the umask
		return f, true, nil
	}
	if err == nil {
		unix.Close(fd)
	}
	f, err = s.openFile(temp, os.O_RDWR|os.O_EXCL)
	return f, false, err
}

// nameFile gives a file without a name the name path.
func nameFile(f *os.File, path string) error {
	err := unix.Linkat(unix.AT_FDCWD, procPath(int(f.Fd())), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, unix.EEXIST) { // not ours: we hold the lock
		if err = os.Remove(path); err == nil {
			err = unix.Linkat(unix.AT_FDCWD, procPath(int(f.Fd())), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
		}
	}
	if err != nil {
		return &fs.PathError{Op: "link", Path: path, Err: err}
	}
	return nil
}

func procPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }
