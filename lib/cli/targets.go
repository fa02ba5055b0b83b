package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"ocipipe/lib/atomicfile"
)

// target is a file that is going to be overwritten.
type target struct {
	role string      // what it gets, for messages
	path string      // as the user names it
	info fs.FileInfo // nil if there is no file yet
}

// addInput notes that fi is going to be read, unless err is not nil. It refuses a file that
// is an output.
func (e *Env) addInput(fi fs.FileInfo, err error) error {
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inputs = append(e.inputs, fi)
	for _, t := range e.targets {
		if err := refuseSame(fi, t.info); err != nil {
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
	for _, input := range e.inputs {
		if err := refuseSame(t.info, input); err != nil {
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

// refuseSame returns an error if a and b, which may be nil, are one file that holds data.
func refuseSame(a, b fs.FileInfo) error {
	if a != nil && b != nil && holdsData(a) && os.SameFile(a, b) {
		return Usage("%s: is input and output at once", a.Name())
	}
	return nil
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
	if err != nil || berr != nil || filepath.Base(a) != filepath.Base(b) {
		return false
	}
	x, err := os.Stat(filepath.Dir(a))
	if err != nil {
		return false
	}
	y, err := os.Stat(filepath.Dir(b))
	return err == nil && os.SameFile(x, y)
}
