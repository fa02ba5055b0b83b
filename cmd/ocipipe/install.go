package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// install makes a link to this program in dir for each tool, or, where it fails, none.
func install(dir string) error {
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return fmt.Errorf("where this program lies: %w", err)
	}
	missing, err := missingLinks(program, dir)
	if err != nil {
		return err
	}
	for i, path := range missing {
		if err := link(program, path); err != nil {
			for _, made := range missing[:i] {
				os.Remove(made)
			}
			return err
		}
	}
	return nil
}

// missingLinks returns the paths of the links that are not there. It is an error if something
// else is.
func missingLinks(program, dir string) (missing []string, err error) {
	own, err := os.Stat(program)
	if err != nil {
		return nil, err
	}
	for _, a := range applets {
		path := filepath.Join(dir, a.name+suffix())
		_, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, path)
			continue
		}
		if err != nil {
			return nil, err
		}
		if there, err := os.Stat(path); err != nil || !os.SameFile(there, own) {
			return nil, fmt.Errorf("%s: exists, and is not a link to %s", path, program)
		}
	}
	return missing, nil
}

// link makes path a link to program: a hard link on Windows, where symbolic ones are for
// administrators.
func link(program, path string) error {
	var err error
	if runtime.GOOS == "windows" {
		err = os.Link(program, path)
	} else {
		err = os.Symlink(target(program, path), path)
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		return &fs.PathError{Op: "link", Path: path, Err: le.Err}
	}
	return err
}

func suffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

// target returns how a symbolic link called path names program.
func target(program, path string) string {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err == nil && dir == filepath.Dir(program) {
		return filepath.Base(program)
	}
	return program
}
