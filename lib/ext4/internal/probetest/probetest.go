// Package probetest is for tests that look into an image: what e2fsck and the audit have to
// say, what the reader finds, the superblock, the inode of a path.
package probetest

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/treetest"
)

// Super is the superblock of what is in m.
func Super(t testing.TB, m io.ReaderAt) (s disk.Superblock) {
	t.Helper()
	b := make([]byte, disk.SuperSize)
	if _, err := m.ReadAt(b, disk.SuperOffset); err != nil {
		t.Fatal(err)
	}
	s.Decode(b)
	return s
}

// Inode is the inode that path has in img. No symbolic link is followed.
func Inode(t testing.TB, img *read.Image, path string) *volume.Inode {
	t.Helper()
	vol, number, parent := img.Volume(), uint32(disk.RootIno), uint32(disk.RootIno)
	for rest := path; rest != "" && rest != "."; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		dir, err := vol.ReadInode(number)
		if err != nil {
			t.Fatal(err)
		}
		names, _, err := vol.ReadDir(dir, parent, nil)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(names, func(d disk.Dirent) bool { return d.Name == name })
		if i < 0 {
			t.Fatalf("there is no %s", path)
		}
		number, parent = names[i].Ino, number
	}
	ino, err := vol.ReadInode(number)
	if err != nil {
		t.Fatal(err)
	}
	return ino
}

// InodeIn is the inode that path has in the image m.
func InodeIn(t testing.TB, m *ext4test.Memory, path string) *volume.Inode {
	t.Helper()
	img, err := read.Open(m, m.Size)
	if err != nil {
		t.Fatal(err)
	}
	return Inode(t, img, path)
}

// Open opens the image in a file.
func Open(t testing.TB, name string) *read.Image {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	img, err := read.Open(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// SuperOfFile is the superblock of the image in a file.
func SuperOfFile(t testing.TB, image string) disk.Superblock {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return Super(t, f)
}

// Drain reads everything in an image.
func Drain(r io.ReaderAt, size int64) error {
	img, err := read.Open(r, size)
	if err != nil {
		return err
	}
	return DrainImage(img)
}

// DrainImage reads everything in img.
func DrainImage(img *read.Image) error {
	return treetest.Drain(img.Source(), tree.Limits{TotalSize: 64 << 20, FileSize: 1 << 44, Entries: 1 << 20})
}
