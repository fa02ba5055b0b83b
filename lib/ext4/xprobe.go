package ext4

import (
	"fmt"
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
)

// superOf is the superblock of what is in m.
func superOf(t testing.TB, m io.ReaderAt) (s disk.Superblock) {
	t.Helper()
	b := make([]byte, disk.SuperSize)
	if _, err := m.ReadAt(b, disk.SuperOffset); err != nil {
		t.Fatal(err)
	}
	s.Decode(b)
	return s
}

// findInode is the inode that path has in img. No symbolic link is followed.
func findInode(t testing.TB, img *read.Image, path string) *volume.Inode {
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

// inodeOf is the inode that path has in the image m.
func inodeOf(t testing.TB, m *ext4test.Memory, path string) *volume.Inode {
	t.Helper()
	img, err := read.Open(m, m.Size)
	if err != nil {
		t.Fatal(err)
	}
	return findInode(t, img, path)
}

// openFile opens the image in a file.
func openFile(t testing.TB, name string) *read.Image {
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

// readSuper is the superblock of the image in a file.
func readSuper(t testing.TB, image string) disk.Superblock {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return superOf(t, f)
}

// drain reads everything in an image.
func drain(r io.ReaderAt, size int64) error {
	img, err := read.Open(r, size)
	if err != nil {
		return err
	}
	return drainImage(img)
}

func drainImage(img *read.Image) error {
	src := tree.Limit(img.Source(), tree.Limits{TotalSize: 64 << 20, FileSize: 1 << 44, Entries: 1 << 20})
	for {
		e, err := src.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if e.Content == nil {
			continue
		}
		n, err := e.Content.WriteTo(io.Discard)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		if n != e.DataSize() {
			return fmt.Errorf("%s: content of %d bytes, expected %d", e.Path, n, e.DataSize())
		}
	}
}
