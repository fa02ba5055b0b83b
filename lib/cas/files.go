package cas

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/osfile"
)

// path returns the path of the file called name in the cache.
func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// storeError wraps err in ErrStore. For nil it returns nil.
func storeError(err error) error {
	if err == nil || errors.Is(err, ErrStore) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}

// errNotRegular is in the error for something else where a file should be. It is not read: a
// named pipe would wait for its writer.
var errNotRegular = errors.New("not a regular file")

// errLonger begins the error of read for a file that is longer than the limit.
var errLonger = errors.New("longer than")

// read returns the content of a file of at most limit bytes.
func (s *Store) read(name string, limit int64) ([]byte, error) {
	f, err := osfile.Open(s.path(name), os.O_RDONLY|osfile.NonBlock, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, fmt.Errorf("%s: %w", f.Name(), errNotRegular))
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: %w %d bytes", f.Name(), errLonger, limit)
	}
	return data, err
}

// openFile opens a file for writing. It creates the file, and its directory, with the
// permissions of the cache.
func (s *Store) openFile(name string, flags int) (*os.File, error) {
	perm := s.mode&0o666 | 0o600
	open := func() (*os.File, error) {
		return osfile.Open(s.path(name), flags|os.O_CREATE|osfile.NoFollow|osfile.NonBlock, perm)
	}
	f, err := open()
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.mkdirAll(filepath.Dir(name)); err == nil {
			f, err = open()
		}
	}
	if err != nil {
		return nil, storeError(err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s: %w", s.path(name), errNotRegular)
	case info.Mode().Perm()&perm != perm: // new and limited by the umask, or another user's
		f.Chmod(perm)
	}
	if err != nil {
		f.Close()
		return nil, storeError(err)
	}
	return f, nil
}

// mkdirAll makes the directory name and those above it, up to the cache itself.
func (s *Store) mkdirAll(name string) error {
	if name == "." {
		return nil
	}
	if info, err := os.Stat(s.path(name)); err == nil && info.IsDir() {
		return nil
	}
	if err := s.mkdirAll(filepath.Dir(name)); err != nil {
		return err
	}
	err := os.Mkdir(s.path(name), s.mode.Perm()|0o700)
	if errors.Is(err, fs.ErrExist) { // another process was faster
		return nil
	}
	if err == nil {
		err = os.Chmod(s.path(name), s.mode|0o700)
	}
	if err == nil {
		err = s.syncDir(filepath.Dir(name))
	}
	return storeError(err)
}

// replace replaces the content of the file called name by data. The caller holds its lock.
func (s *Store) replace(name string, data []byte) error {
	temp := filepath.Join("tmp", name)
	f, err := s.openFile(temp, os.O_WRONLY|os.O_TRUNC)
	if err != nil { // something else is there, or a killed process of another user left it
		os.Remove(s.path(temp))
		f, err = s.openFile(temp, os.O_WRONLY|os.O_TRUNC)
	}
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = s.publish(f, temp, name)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(s.path(temp))
	}
	return storeError(err)
}

// publish makes f, which is called temp, durable, and renames it to name. An empty directory
// there gives way.
func (s *Store) publish(f *os.File, temp, name string) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := s.mkdirAll(filepath.Dir(name)); err != nil {
		return err
	}
	if info, err := os.Lstat(s.path(name)); err == nil && info.IsDir() {
		if err := syscall.Rmdir(s.path(name)); err != nil {
			return fmt.Errorf("%s: a directory is in the way: %w", s.path(name), err)
		}
	}
	if err := osfile.Rename(s.dir, temp, name); err != nil {
		return err
	}
	return s.syncDir(filepath.Dir(name))
}

// syncDir makes the names in a directory durable.
func (s *Store) syncDir(name string) error { return atomicfile.SyncDir(s.path(name)) }
