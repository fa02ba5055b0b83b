package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// found is what an image has for change to work on.
type found struct {
	files  []string // regular files of one name that are not empty
	linked string   // a regular file with several names, or ""
	link   string   // a symbolic link in the root, or ""
	dirs   []string // directories in the root that are not empty
}

func look(root string) (f found, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		inRoot := filepath.Dir(path) == root
		switch kind := st.Mode & unix.S_IFMT; {
		case kind == unix.S_IFREG && st.Nlink == 1 && st.Size > 0:
			f.files = append(f.files, path)
		case kind == unix.S_IFREG && st.Nlink > 1 && f.linked == "":
			f.linked = path
		case kind == unix.S_IFLNK && inRoot && f.link == "":
			f.link = path
		case kind == unix.S_IFDIR && inRoot:
			names, err := os.ReadDir(path)
			if err != nil {
				return err
			}
			if len(names) > 0 {
				f.dirs = append(f.dirs, path)
			}
		}
		return nil
	})
	if err == nil && (len(f.files) < 4 || len(f.dirs) < 2) {
		err = fmt.Errorf("the image has %d files and %d directories to work on, too few", len(f.files), len(f.dirs))
	}
	return f, err
}

// change does to the tree at root what leaves each mark on an upper disk: new files of each
// type, copies of metadata alone and of content, whiteouts, directories that are renamed, and
// that are made again.
func change(root string) error {
	f, err := look(root)
	if err != nil {
		return err
	}
	again, renamed := "", f.dirs[len(f.dirs)-1]
	for _, dir := range f.dirs[:len(f.dirs)-1] {
		used := func(file string) bool { return strings.HasPrefix(file, dir+"/") }
		if !slices.ContainsFunc(append(f.files[:4:4], f.linked), used) {
			again = dir
			break
		}
	}
	if again == "" {
		return fmt.Errorf("the image has no directory that can be made again")
	}
	for _, step := range []func() error{
		func() error { return create(filepath.Join(root, "new")) },
		func() error { return changeFiles(f.files, filepath.Join(root, "new/link of old")) },
		func() error { return replace(f, again) },
		func() error { return rename(renamed, filepath.Join(root, "renamed")) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// create makes the directory dir with a file of each type.
func create(dir string) error {
	at := func(name string) string { return filepath.Join(dir, name) }
	return cmp.Or(
		os.Mkdir(dir, 0o750),
		os.WriteFile(at("file"), []byte("new\n"), 0o644),
		os.WriteFile(at("empty"), nil, 0o4755),
		os.WriteFile(at("sparse"), []byte("head"), 0o600),
		os.Truncate(at("sparse"), 5<<20),
		appendTo(at("sparse"), "tail"),
		unix.Lsetxattr(at("file"), "user.way", []byte("back\x00"), 0),
		os.Link(at("file"), at("another name")),
		os.Symlink("../etc/x=\\ y", at("symlink")),
		unix.Mknod(at("socket"), unix.S_IFSOCK|0o644, 0),
		unix.Mknod(at("fifo"), unix.S_IFIFO|0o600, 0),
		unix.Mknod(at("char"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 7))),
		unix.Mknod(at("block"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 1<<19))),
		os.Lchown(at("char"), 70000, 4000000000),
	)
}

// changeFiles changes the first four of files: metadata, size, content and link count, and
// existence.
func changeFiles(files []string, link string) error {
	info, err := os.Stat(files[1])
	if err != nil {
		return err
	}
	return cmp.Or(
		os.Chmod(files[0], 0o600), // content stays below
		os.Truncate(files[1], info.Size()/2),
		unix.Lsetxattr(files[1], "user.way", nil, 0),
		os.Link(files[2], link), // content stays below, two names here
		os.Chmod(link, 0o700),
		os.Remove(files[3]),
	)
}

// replace makes the directory again anew, where the link was a file, and changes one name of
// several that a file has, which parts it from the others.
func replace(f found, again string) error {
	err := cmp.Or(os.RemoveAll(again), os.Mkdir(again, 0o711), os.WriteFile(filepath.Join(again, "inside"), []byte("x"), 0o644))
	if err == nil && f.link != "" {
		err = cmp.Or(os.Remove(f.link), os.WriteFile(f.link, []byte("no link\n"), 0o644))
	}
	if err == nil && f.linked != "" {
		err = os.Chmod(f.linked, 0o500)
	}
	return err
}

// rename renames first the last directory in dir, if it has one, and then dir, and changes
// both afterwards.
func rename(dir, to string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(entries) {
		if e.IsDir() {
			inner := filepath.Join(dir, "inner")
			err = cmp.Or(os.Rename(filepath.Join(dir, e.Name()), inner), os.Mkdir(filepath.Join(dir, e.Name()), 0o755),
				os.WriteFile(filepath.Join(inner, "added"), []byte("added\n"), 0o644))
			break
		}
	}
	if err != nil {
		return err
	}
	return cmp.Or(os.Rename(dir, to), os.Chmod(to, 0o751), os.WriteFile(filepath.Join(to, "added too"), nil, 0o644))
}
