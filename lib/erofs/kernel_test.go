package erofs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// compareMount compares what the kernel shows below root with src, whose entries
// are flat.
func compareMount(root string, src tree.Source) error {
	inodes := make(map[string]uint64)
	var paths []string
	for {
		e, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		paths = append(paths, e.Path)
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, e.Path), &st); err != nil {
			return fmt.Errorf("%q: %w", e.Path, err)
		}
		inodes[e.Path] = st.Ino
		if err := compareFile(filepath.Join(root, e.Path), &st, e, inodes); err != nil {
			return fmt.Errorf("%q: %w", e.Path, err)
		}
	}
	var found []string
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		found = append(found, rel)
		return err
	})
	slices.Sort(found)
	slices.Sort(paths)
	if err == nil && !slices.Equal(found, paths) {
		err = fmt.Errorf("%d names are mounted, %d expected", len(found), len(paths))
	}
	return err
}

func compareFile(name string, st *unix.Stat_t, e *tree.Entry, inodes map[string]uint64) error {
	dev := tree.Device{Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)}
	nlink := uint64(st.Nlink)
	for _, f := range []struct {
		what       string
		have, want any
	}{
		{"mode", uint16(st.Mode), disk.ModeOf(e.Type) | e.Mode},
		{"uid", st.Uid, e.UID},
		{"gid", st.Gid, e.GID},
		{"time", tree.Time{Sec: st.Mtim.Sec, Nsec: uint32(st.Mtim.Nsec)}, e.Time},
		{"links", nlink, uint64(e.Nlink)},
		{"device", dev, e.Dev},
	} {
		if f.have != f.want {
			return fmt.Errorf("%s is %v, expected %v", f.what, f.have, f.want)
		}
	}
	if e.Hardlink != "" && inodes[e.Hardlink] != st.Ino {
		return fmt.Errorf("inode %d, expected that of %q: %d", st.Ino, e.Hardlink, inodes[e.Hardlink])
	}
	if err := compareXattrs(name, e); err != nil {
		return err
	}
	switch {
	case e.Type == tree.Link:
		if target, err := os.Readlink(name); err != nil || target != e.Link {
			return fmt.Errorf("target %q (%v), expected %q", target, err, e.Link)
		}
	case e.Type == tree.File && e.Hardlink == "":
		if st.Size != e.Size {
			return fmt.Errorf("size is %d, expected %d", st.Size, e.Size)
		}
		return compareData(name, e)
	}
	return nil
}

func compareXattrs(name string, e *tree.Entry) error {
	names := make([]byte, 1<<16)
	n, err := unix.Llistxattr(name, names)
	if err != nil {
		return fmt.Errorf("listxattr: %w", err)
	}
	found := strings.FieldsFunc(string(names[:n]), func(r rune) bool { return r == 0 })
	if len(found) != len(e.Xattrs) {
		return fmt.Errorf("xattrs %q, expected %q", found, e.Xattrs)
	}
	value := make([]byte, 1<<16)
	for _, x := range e.Xattrs {
		n, err := unix.Lgetxattr(name, x.Name, value)
		if err != nil || string(value[:n]) != x.Value {
			return fmt.Errorf("xattr %s is %q (%v), expected %q", x.Name, value[:max(n, 0)], err, x.Value)
		}
	}
	return nil
}

// compareData reads a file and its holes. Where the entry has extents, those must
// be data, and every whole block between them a hole.
func compareData(name string, e *tree.Entry) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var want bytes.Buffer
	if e.Size > 1<<28 {
		return errors.New("too large to compare")
	}
	if err := tree.WriteExpanded(&want, e); err != nil {
		return err
	}
	have, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(have, want.Bytes()) {
		return fmt.Errorf("content of %d bytes differs (%v)", len(have), err)
	}
	for at, i := int64(0), 0; e.Extents != nil && at < e.Size; i++ {
		gap := e.Size
		if i < len(e.Extents) {
			gap = e.Extents[i].Off
		}
		if from, to := disk.RoundUp(at, 4096), gap/4096*4096; from < to {
			if hole, err := unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE); err != nil || hole != from {
				return fmt.Errorf("no hole at %d but at %d (%v)", from, hole, err)
			}
		}
		if at = e.Size; i < len(e.Extents) {
			at = e.Extents[i].End()
		}
	}
	return nil
}

// sourceOf is what a mount of entries should show.
func sourceOf(t testing.TB, entries []tree.Entry) tree.Source {
	t.Helper()
	tr := tree.New()
	for i := range entries {
		if _, err := tr.Put(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	return tr.Source(tree.Flat)
}

func TestKernelFlat(t *testing.T) {
	for _, bs := range []int{512, 1024, 2048, 4096} {
		t.Run(fmt.Sprint(bs), func(t *testing.T) {
			at := reftest.Mount(t, "erofs", write(t, Options{BlockSize: bs}, corpus()...).Name(), "")
			if err := compareMount(at, sourceOf(t, corpus())); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFsck runs fsck.erofs, whose exit code does not tell of every error.
func TestFsck(t *testing.T) {
	for _, opts := range []Options{{}, {Layer: true}} { // Debian's 1.5 knows one block size
		name := write(t, opts, corpus()...).Name()
		if out := reftest.Run(t, "fsck.erofs", name); strings.Contains(out, "<E>") {
			t.Errorf("%+v: %s", opts, out)
		}
	}
}
