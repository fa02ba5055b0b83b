package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tryWriting makes a file in the overlay, appends to a file of the image and deletes
// another, and checks all of that after it has mounted the overlay again. It leaves
// /upper/guest-new and a whiteout on the disk for vm.sh to check.
func tryWriting(disks map[string]string) error {
	files, err := twoFiles("/root")
	if err != nil {
		return err
	}
	appended, deleted := files[0], files[1]
	before, err := os.ReadFile(appended)
	if err != nil {
		return err
	}
	if err := os.WriteFile("/root/guest-new", []byte("new\n"), 0o644); err != nil {
		return err
	}
	if err := appendTo(appended, "appended\n"); err != nil {
		return err
	}
	if err := os.Remove(deleted); err != nil {
		return err
	}
	fmt.Printf("guest: wrote %s, appended to %s, deleted %s\n", "/guest-new", appended[len("/root"):], deleted[len("/root"):])
	if err := unmountRoot(); err != nil {
		return err
	}
	if err := mountRoot(disks, ""); err != nil {
		return err
	}
	if err := expect("/root/guest-new", []byte("new\n")); err != nil {
		return err
	}
	if err := expect(appended, append(before, "appended\n"...)); err != nil {
		return err
	}
	if err := expect("/lower"+appended[len("/root"):], before); err != nil {
		return err
	}
	if _, err := os.Lstat(deleted); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s was deleted, but lstat returns %v", deleted, err)
	}
	if _, err := os.Lstat("/lower" + deleted[len("/root"):]); err != nil {
		return err
	}
	fmt.Println("guest: the overlay kept it")
	return nil
}

// twoFiles returns the first two regular files that are not empty and have one name each.
func twoFiles(root string) (files []string, err error) {
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink == 1 && st.Size > 0 {
			files = append(files, path)
		}
		if len(files) == 2 {
			return filepath.SkipAll
		}
		return nil
	})
	if err == nil && len(files) < 2 {
		err = fmt.Errorf("the image does not have two files to write to")
	}
	return files, err
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func expect(path string, want []byte) error {
	got, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%s has %d bytes, or the wrong ones, want %d", path, len(got), len(want))
	}
	return err
}
