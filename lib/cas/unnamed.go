package cas

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"ocipipe/lib/atomicfile"
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
	if f, err = atomicfile.Linkable(s.path(dir), s.path(name), perm); err == nil {
		f.Chmod(perm) // whatever the umask
		return f, true, nil
	}
	f, err = s.openFile(temp, os.O_RDWR|os.O_EXCL)
	return f, false, err
}

// nameFile gives a file without a name the name path.
func nameFile(f *os.File, path string) error {
	err := atomicfile.Link(f, path)
	if errors.Is(err, fs.ErrExist) { // not ours: we hold the lock
		if err = os.Remove(path); err == nil {
			err = atomicfile.Link(f, path)
		}
	}
	return err
}
