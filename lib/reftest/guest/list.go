package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// lister writes the records that "tar2tree --no-data --digest" writes for a tree (see
// lib/tree/FORMAT.md), from the results of lstat(2) and other system calls. It shares no
// code with the tools, so that agreement means something.
type lister struct {
	w     *bufio.Writer
	first map[[2]uint64]string // device and inode to the escaped path of the first name
}

// list writes a line for root and one for each name below it, in the order of a
// canonical stream: depth first, names by their bytes.
func list(w io.Writer, root string) error {
	l := lister{w: bufio.NewWriterSize(w, 1<<16), first: map[[2]uint64]string{}}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := "." + strings.TrimPrefix(path, filepath.Clean(root))
		return l.record(path, escape(name))
	})
	if err != nil {
		return err
	}
	return l.w.Flush()
}

var typeNames = map[uint32]string{
	unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFLNK: "link", unix.S_IFCHR: "char",
	unix.S_IFBLK: "block", unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket",
}

func (l *lister) record(path, name string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	fmt.Fprintf(l.w, "%s type=%s mode=%#o uid=%d gid=%d time=%d.%09d",
		name, typeNames[kind], st.Mode&0o7777, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
	switch kind {
	case unix.S_IFREG:
		fmt.Fprintf(l.w, " size=%d", st.Size)
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(l.w, " link=%s", escapeLink(target))
	case unix.S_IFCHR, unix.S_IFBLK:
		fmt.Fprintf(l.w, " device=native,%d,%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	if err := l.content(path, name, &st); err != nil {
		return err
	}
	if err := l.xattrs(path); err != nil {
		return err
	}
	return l.w.WriteByte('\n')
}

// content writes the first name of the inode, if it has another, or else the digest of a
// file.
func (l *lister) content(path, name string, st *unix.Stat_t) error {
	kind := st.Mode & unix.S_IFMT
	inode := [2]uint64{st.Dev, st.Ino}
	if first, ok := l.first[inode]; ok && kind != unix.S_IFDIR {
		_, err := fmt.Fprintf(l.w, " hardlink=%s", first)
		return err
	}
	l.first[inode] = name
	if kind != unix.S_IFREG {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	_, err = fmt.Fprintf(l.w, " sha256digest=%x", h.Sum(nil))
	return err
}

func (l *lister) xattrs(path string) error {
	names, err := xattrNames(path)
	if err != nil {
		return err
	}
	value := make([]byte, 64<<10) // the kernel's limit
	for _, name := range names {
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return &fs.PathError{Op: "lgetxattr " + name, Path: path, Err: err}
		}
		fmt.Fprintf(l.w, " xattr.%s=%s", escape(name), base64.StdEncoding.EncodeToString(value[:n]))
	}
	return nil
}

// xattrNames returns the names of extended attributes, sorted, without security.selinux,
// which the host adds.
func xattrNames(path string) ([]string, error) {
	b := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, b)
	if err == unix.ENOTSUP || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	names := strings.Split(strings.TrimSuffix(string(b[:n]), "\x00"), "\x00")
	names = slices.DeleteFunc(names, func(s string) bool { return s == "security.selinux" })
	slices.Sort(names)
	return names, nil
}

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < 0x21 || c > 0x7e || strings.IndexByte(`\#*?[=`, c) >= 0 {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// escapeLink is escape, with "=" and "\" as other programs that compare lists expect them.
func escapeLink(s string) string {
	return strings.NewReplacer(`\075`, "=", `\134`, `\\`).Replace(escape(s))
}
