package ext4

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/tree"
)

// What is checked is what a list means: IDs where none count, and a list without
// entries, are not in the file system.
func TestACLShown(t *testing.T) {
	zeros := ext4test.ACL([3]uint32{1, 7, 0}, [3]uint32{2, 6, 5}, [3]uint32{4, 5, 0}, [3]uint32{16, 7, 9}, [3]uint32{32, 0, 0})
	shown := ext4test.ACL([3]uint32{1, 7, ext4test.NoID}, [3]uint32{2, 6, 5}, [3]uint32{4, 5, ext4test.NoID}, [3]uint32{16, 7, ext4test.NoID}, [3]uint32{32, 0, ext4test.NoID})
	d := ext4test.Dir("d", 0o755)
	d.Xattrs = ext4test.Xattrs("system.posix_acl_access", zeros, "system.posix_acl_default", ext4test.ACL(), "user.a", "1")
	for _, opts := range []Options{{Check: true}, {Check: true, Upper: true, Size: MinUpper}} {
		m := new(ext4test.Memory)
		if err := writeTo(m, opts, []*tree.Entry{d}); err != nil {
			t.Fatal(err)
		}
		img, err := read.Open(m, m.Size)
		if err != nil {
			t.Fatal(err)
		}
		path := "d"
		if opts.Upper {
			path = "upper/d"
		}
		if e, err := img.Lookup(path); err != nil || !slices.Equal(e.Xattrs, ext4test.Xattrs("system.posix_acl_access", shown, "user.a", "1")) {
			t.Errorf("%+v, %v", e, err)
		}
	}
	d.Xattrs = ext4test.Xattrs("system.posix_acl_access", "1")
	w, _ := NewWriter(context.Background(), new(ext4test.Memory), Options{})
	if err := w.Add(d); !errors.Is(err, disk.ErrACL) || !strings.HasPrefix(err.Error(), "d: xattr system.posix_acl_access: ") {
		t.Error(err)
	}
}

// Blocks of xattrs are shared by as many inodes as the kernel allows.
func TestSharedXattrBlocks(t *testing.T) {
	var entries []*tree.Entry
	for i := range 2*disk.XattrMaxRefs + 5 {
		e := ext4test.File(fmt.Sprintf("f%05d", i), nil)
		e.Xattrs = []tree.Xattr{{Name: "user.x", Value: strings.Repeat("v", 200)}}
		entries = append(entries, e)
	}
	m := new(ext4test.Memory)
	if err := writeTo(m, Options{Check: true, Size: 32 << 20}, entries); err != nil {
		t.Fatal(err)
	}
	img, err := read.Open(m, m.Size)
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[uint64]int{}
	for _, e := range entries {
		ino := probetest.Inode(t, img, e.Path)
		blocks[ino.FileACL]++
	}
	var users []int
	for _, n := range blocks {
		users = append(users, n)
	}
	if slices.Sort(users); !slices.Equal(users, []int{5, disk.XattrMaxRefs, disk.XattrMaxRefs}) {
		t.Errorf("blocks have %d users", users)
	}
}
