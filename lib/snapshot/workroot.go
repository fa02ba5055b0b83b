package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// workRoot is the root of a staging directory. The user knows nothing of that: errors of its
// methods name the output.
type workRoot struct {
	*os.Root
	output string // as the user named it
}

func (r workRoot) about(err error) error {
	if op, _, cause := aboutFile(err); cause != nil {
		return &fs.PathError{Op: op, Path: r.output, Err: cause}
	}
	return err
}

func (r workRoot) Open(name string) (*os.File, error) {
	f, err := r.Root.Open(name)
	return f, r.about(err)
}

func (r workRoot) OpenFile(name string, flag int, perm os.FileMode) (*os.File, error) {
	f, err := r.Root.OpenFile(name, flag, perm)
	return f, r.about(err)
}

func (r workRoot) WriteFile(name string, data []byte, perm os.FileMode) error {
	return r.about(r.Root.WriteFile(name, data, perm))
}

func (r workRoot) Mkdir(name string, perm os.FileMode) error {
	return r.about(r.Root.Mkdir(name, perm))
}

func (r workRoot) MkdirAll(name string, perm os.FileMode) error {
	return r.about(r.Root.MkdirAll(name, perm))
}

func (r workRoot) Rename(from, to string) error {
	return r.about(r.Root.Rename(from, to))
}

// about names the output in an error about a file that lies in the staging directory. All other
// errors stay as they are.
func (s *staging) about(err error) error {
	if _, path, _ := aboutFile(err); strings.Contains(path, s.name) {
		return s.root.about(err)
	}
	return err
}

// beside adds the directory of the staging directory to an error about a file in that.
func (s *staging) beside(err error) error { return in(s.parent.Name(), err) }

// in adds dir to an error of a root that was made of it.
func in(dir string, err error) error {
	op, path, cause := aboutFile(err)
	if cause == nil || filepath.IsAbs(path) || errors.Is(err, ErrExists) {
		return err
	}
	// Methods of a root name files in it, those of its files name it too.
	path = strings.TrimPrefix(path, dir+string(filepath.Separator))
	return &fs.PathError{Op: op, Path: filepath.Join(dir, path), Err: cause}
}

// aboutFile takes an error apart that names a file. cause is nil if it names none.
func aboutFile(err error) (op, path string, cause error) {
	var (
		file *fs.PathError
		link *os.LinkError
	)
	switch {
	case errors.As(err, &link):
		return "rename", link.New, link.Err
	case errors.As(err, &file):
		return file.Op, file.Path, file.Err
	}
	return "", "", nil
}
