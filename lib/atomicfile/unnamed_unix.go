//go:build unix && (!linux || portable)

package atomicfile

import (
	"io/fs"
	"os"
)

// allowHoles has nothing to do: any file may have holes.
func allowHoles(f *os.File) {}

// createUnnamed creates a file that has lost its name at once.
func createUnnamed(dir string) (*os.File, error) {
	d, err := openDirectory(dir)
	if err != nil {
		return nil, err
	}
	defer d.close()
	f, name, err := d.createNamed("", 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: dir, Err: err}
	}
	if err := d.remove(name); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
