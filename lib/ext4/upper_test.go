package ext4

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/tree"
)

func TestUpper(t *testing.T) {
	root := ext4test.Dir(".", 0o1750)
	root.UID, root.Xattrs = 7, []tree.Xattr{{Name: "user.r", Value: "1"}}
	opaque := &tree.Entry{Path: "implied/opaque", Type: tree.Dir, NoChange: true, Xattrs: []tree.Xattr{tree.Opaque}}
	link := ext4test.File("link", nil)
	link.Hardlink = "implied/f"
	plain := ext4test.File("plain", nil)
	plain.Xattrs = []tree.Xattr{{Name: "other.prefix", Value: "x"}, {Name: "trusted.ocipipe.implied", Value: "y"}, {Name: "user.kept", Value: "z"}}
	entries := []*tree.Entry{root, ext4test.File("implied/f", ext4test.Pattern(1, 10)), link, opaque, ext4test.Whiteout("gone"), plain, ext4test.File("known/g", nil)}
	mode := uint16(0o700)
	below := func(path string) (*tree.Entry, error) {
		switch path {
		case ".":
			e := ext4test.Dir(".", 0o555)
			e.UID = 99
			return e, nil
		case "known":
			e := ext4test.Dir(path, 0o2711)
			e.GID, e.Xattrs = 12, []tree.Xattr{{Name: "trusted.overlay.opaque", Value: "y"}, {Name: "user.below", Value: "b"}}
			return e, nil
		case "implied":
			return ext4test.File(path, nil), nil // no directory: nothing to take
		}
		return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist)
	}
	var said []string
	opts := Options{Upper: true, Size: MinUpper, Below: below, Check: true, Warn: func(s string) { said = append(said, s) }}
	look := func(opts Options, entries []*tree.Entry) func(path string) string {
		m := new(ext4test.Memory)
		if err := writeTo(m, opts, entries); err != nil {
			t.Fatal(err)
		}
		img, err := read.Open(m, m.Size)
		if err != nil {
			t.Fatal(err)
		}
		return func(path string) string {
			e, err := img.Lookup(path)
			if err != nil {
				return err.Error()
			}
			return fmt.Sprintf("%v %o %d:%d %d %v", e.Type, e.Mode, e.UID, e.GID, e.Nlink, e.Xattrs)
		}
	}
	seeded := look(opts, entries)
	for path, want := range map[string]string{
		".":                    "dir 755 0:0 5 []",
		"upper":                "dir 1750 7:0 4 [{user.r 1}]",
		"work":                 "dir 755 0:0 2 []",
		"lost+found":           "dir 700 0:0 2 []",
		"upper/implied":        "dir 755 0:0 3 []",
		"upper/implied/opaque": "dir 755 0:0 2 [{trusted.overlay.opaque y}]",
		"upper/known":          "dir 2711 0:12 2 [{user.below b}]",
		"upper/link":           "file 644 0:0 2 []",
		"upper/gone":           "char 0 0:0 1 []",
		"upper/plain":          "file 644 0:0 1 [{user.kept z}]",
		"gone":                 "gone: file does not exist",
	} {
		if have := seeded(path); have != want {
			t.Errorf("%s: have %s, want %s", path, have, want)
		}
	}
	want := []string{"plain: xattr other.prefix: left out (and 1 more)", "implied: a directory that is only implied; 0755 of root hide what it is below (and 1 more)"}
	if !slices.Equal(said, want) {
		t.Errorf("said %q, expected %q", said, want)
	}
	said = nil
	look(opts, []*tree.Entry{{Path: ".", Type: tree.Dir, NoChange: true, Xattrs: []tree.Xattr{tree.Opaque}}})
	if len(said) != 1 || !strings.HasPrefix(said[0], "the root is opaque") {
		t.Errorf("an opaque root: said %q", said)
	}
	if have := look(opts, nil)("upper"); have != "dir 555 99:0 2 []" {
		t.Errorf("empty, from below: %s", have)
	}
	opts.Mode = &mode
	if have := look(opts, entries)("upper"); have != "dir 700 7:0 4 [{user.r 1}]" {
		t.Errorf("with a mode: %s", have)
	}
	if have := look(Options{Upper: true, Size: MinUpper}, nil)("upper"); have != "dir 755 0:0 2 []" {
		t.Errorf("empty: %s", have)
	}
	bad := errors.New("cannot be read")
	opts.Below = func(string) (*tree.Entry, error) { return nil, bad }
	if err := writeTo(new(ext4test.Memory), opts, nil); !errors.Is(err, bad) {
		t.Errorf("what is below cannot be read: %v", err)
	}
}

func TestOwnLostFound(t *testing.T) {
	own := ext4test.Dir("lost+found", 0o711)
	own.UID = 3
	for _, c := range []struct {
		name    string
		entries []*tree.Entry
		want    string
	}{
		{"ours", nil, "dir 700 0 inode 11, 16384 bytes"},
		{"of the tree", []*tree.Entry{ext4test.File("a", nil), own, ext4test.File("lost+found/x", nil)}, "dir 711 3 inode 11, 16384 bytes"},
		{"a file", []*tree.Entry{ext4test.File("a", nil), ext4test.File("lost+found", nil)}, "file 644 0 inode 12, 0 bytes"},
	} {
		m := new(ext4test.Memory)
		if err := writeTo(m, Options{Check: true}, c.entries); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		img, err := read.Open(m, m.Size)
		if err != nil {
			t.Fatal(err)
		}
		ino := probetest.Inode(t, img, "lost+found")
		have := fmt.Sprintf("%v %o %d inode %d, %d bytes", ino.Type(), ino.Mode&disk.ModePerm, ino.UID, ino.Number, ino.Size)
		if have != c.want {
			t.Errorf("%s: %s, expected %s", c.name, have, c.want)
		}
	}
}
