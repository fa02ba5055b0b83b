package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/osfile"
)

// target is a file that is going to be overwritten.
type target struct {
	role string      // what it gets, for messages
	path string      // as the user names it
	info fs.FileInfo // nil if there is no file yet
}

// source is a file that is going to be read.
type source struct {
	path string // as the user names it
	info fs.FileInfo
}

// addInput notes that the file at path is going to be read, unless err is not nil. It refuses
// a file that is an output.
func (e *Env) addInput(path string, fi fs.FileInfo, err error) error {
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	in := source{path, fi}
	e.inputs = append(e.inputs, in)
	for _, t := range e.targets {
		if err := t.refuse(in); err != nil {
			e.abortAll() // else they would write the error message into the input
			return err
		}
	}
	return nil
}

// addTarget notes that the file at path, of which err says whether there is one, is going to be
// overwritten. It refuses a file that is an input, or another target.
func (e *Env) addTarget(role, path string, fi fs.FileInfo, err error) error {
	t := &target{role, path, fi}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.info = nil
	case err != nil:
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, other := range e.targets {
		switch {
		case !t.isSame(other):
		case other.role == role:
			return Usage("%s: is two outputs at once", nameOf(path))
		default:
			return Usage("%s: is the %s and the %s at once", nameOf(path), other.role, role)
		}
	}
	e.targets = append(e.targets, t)
	for _, in := range e.inputs {
		if err := t.refuse(in); err != nil {
			return err
		}
	}
	return nil
}

// isSame reports whether one of t and other would overwrite the other.
func (t *target) isSame(other *target) bool {
	if t.info != nil && other.info != nil {
		return os.SameFile(t.info, other.info) && !isHarmless(t.info)
	}
	return t.info == nil && other.info == nil && sameName(t.path, other.path)
}

// refuse returns an error if t and in are one file that holds data. It has the name by which
// the user has given that file, if there is one.
func (t *target) refuse(in source) error {
	if t.info == nil || !holdsData(t.info) || !os.SameFile(t.info, in.info) {
		return nil
	}
	name := stdinName
	for _, path := range []string{in.path, t.path} {
		if !isStandard(path) {
			name = path
		}
	}
	return Usage("%s: is input and output at once", name)
}

// holdsData reports whether fi is a regular file or a disk, not a pipe, a
// terminal or /dev/null, which a tool may read and write at once.
func holdsData(fi fs.FileInfo) bool {
	return fi.Mode().IsRegular() || fi.Mode().Type() == fs.ModeDevice
}

// isHarmless reports whether info is a terminal or /dev/null, or such a device, to which several
// things may be written.
func isHarmless(info fs.FileInfo) bool { return info.Mode()&fs.ModeCharDevice != 0 }

func nameOf(path string) string {
	if isStandard(path) {
		return stdoutName
	}
	return path
}

// sameName reports whether both paths, of files that do not exist, lead to the same name in the
// same directory.
func sameName(a, b string) bool {
	a, err := atomicfile.Target(a)
	b, berr := atomicfile.Target(b)
	if err != nil || berr != nil || !osfile.SameName(filepath.Base(a), filepath.Base(b)) {
		return false
	}
	x, err := os.Stat(filepath.Dir(a))
	if err != nil {
		return false
	}
	y, err := os.Stat(filepath.Dir(b))
	return err == nil && os.SameFile(x, y)
}
