package ext4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

// aclOf is a list in the form of system calls.
func aclOf(entries ...[3]uint32) string {
	b := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return string(b)
}

var (
	shortACL = aclOf([3]uint32{1, 7, aclNoID}, [3]uint32{4, 5, aclNoID}, [3]uint32{32, 0, aclNoID})
	longACL  = aclOf([3]uint32{1, 6, aclNoID}, [3]uint32{2, 7, 70000}, [3]uint32{2, 1, 1}, [3]uint32{4, 4, aclNoID},
		[3]uint32{8, 5, 1<<32 - 2}, [3]uint32{16, 5, aclNoID}, [3]uint32{32, 4, aclNoID})
)

func TestACL(t *testing.T) {
	for _, c := range []struct{ name, value, disk string }{
		{"none", "", ""},
		{"no entries", aclOf(), ""},
		{"short", shortACL, "\x01\x00\x00\x00" + "\x01\x00\x07\x00" + "\x04\x00\x05\x00" + "\x20\x00\x00\x00"},
		{"long", longACL, "\x01\x00\x00\x00" + "\x01\x00\x06\x00" + "\x02\x00\x07\x00\x70\x11\x01\x00" + "\x02\x00\x01\x00\x01\x00\x00\x00" +
			"\x04\x00\x04\x00" + "\x08\x00\x05\x00\xFE\xFF\xFF\xFF" + "\x10\x00\x05\x00" + "\x20\x00\x04\x00"},
	} {
		disk, err := packACL(c.value)
		if err != nil || string(disk) != c.disk {
			t.Errorf("%s: %x, want %x (%v)", c.name, disk, c.disk, err)
		}
		if disk == nil {
			continue
		}
		if back, err := unpackACL(disk); err != nil || back != c.value {
			t.Errorf("%s: read back as %x (%v)", c.name, back, err)
		}
	}
}

// What is checked is what a list means: IDs where none count, and a list without
// entries, are not in the file system.
func TestACLShown(t *testing.T) {
	zeros := aclOf([3]uint32{1, 7, 0}, [3]uint32{2, 6, 5}, [3]uint32{4, 5, 0}, [3]uint32{16, 7, 9}, [3]uint32{32, 0, 0})
	shown := aclOf([3]uint32{1, 7, aclNoID}, [3]uint32{2, 6, 5}, [3]uint32{4, 5, aclNoID}, [3]uint32{16, 7, aclNoID}, [3]uint32{32, 0, aclNoID})
	d := dir("d", 0o755)
	d.Xattrs = pairs("system.posix_acl_access", zeros, "system.posix_acl_default", aclOf(), "user.a", "1")
	for _, opts := range []Options{{Check: true}, {Check: true, Upper: true, Size: MinUpper}} {
		m := new(memory)
		if err := writeTo(m, opts, []*tree.Entry{d}); err != nil {
			t.Fatal(err)
		}
		img, err := Open(m, m.size)
		if err != nil {
			t.Fatal(err)
		}
		path := "d"
		if opts.Upper {
			path = "upper/d"
		}
		if e, err := img.Lookup(path); err != nil || !slices.Equal(e.Xattrs, pairs("system.posix_acl_access", shown, "user.a", "1")) {
			t.Errorf("%+v, %v", e, err)
		}
	}
	d.Xattrs = pairs("system.posix_acl_access", "1")
	w, _ := NewWriter(new(memory), Options{})
	if err := w.Add(d); !errors.Is(err, errACL) || !strings.HasPrefix(err.Error(), "d: xattr system.posix_acl_access: ") {
		t.Error(err)
	}
}

func TestPackACLRefuses(t *testing.T) {
	owner, group, mask, other := [3]uint32{1, 7, aclNoID}, [3]uint32{4, 7, aclNoID}, [3]uint32{16, 7, aclNoID}, [3]uint32{32, 7, aclNoID}
	user, team := [3]uint32{2, 7, 5}, [3]uint32{8, 7, 5}
	for name, value := range map[string]string{
		"cut":                    shortACL[:len(shortACL)-1],
		"cut in the header":      "\x02\x00",
		"version":                "\x01" + shortACL[1:],
		"no owner":               aclOf(group, other),
		"two owners":             aclOf(owner, owner, group, other),
		"no group":               aclOf(owner, other),
		"two groups":             aclOf(owner, group, group, other),
		"no other":               aclOf(owner, group),
		"two others":             aclOf(owner, group, other, other),
		"two masks":              aclOf(owner, group, mask, mask, other),
		"user without mask":      aclOf(owner, user, group, other),
		"team without mask":      aclOf(owner, group, team, other),
		"user behind the group":  aclOf(owner, group, user, mask, other),
		"team before the group":  aclOf(owner, team, group, mask, other),
		"team behind the mask":   aclOf(owner, group, mask, team, other),
		"mask behind the others": aclOf(owner, group, other, mask),
		"permission 8":           aclOf([3]uint32{1, 8, aclNoID}, group, other),
		"tag 64":                 aclOf(owner, group, other, [3]uint32{64, 7, 1}),
		"tag 0":                  aclOf(owner, group, [3]uint32{0, 7, 1}, other),
		"user without number":    aclOf(owner, [3]uint32{2, 7, aclNoID}, group, mask, other),
	} {
		if b, err := packACL(value); err == nil {
			t.Errorf("%s: accepted as %x", name, b)
		}
	}
}

func FuzzACL(f *testing.F) {
	for _, value := range []string{shortACL, longACL} {
		b, err := packACL(value)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if value, err := unpackACL(b); err == nil {
			if again, err := packACL(value); err == nil && again != nil && !bytes.Equal(again, b) {
				t.Errorf("%x becomes %x", b, again)
			}
		}
		if disk, err := packACL(string(b)); err == nil && disk != nil {
			if _, err := unpackACL(disk); err != nil {
				t.Errorf("%x: %v", b, err)
			}
		}
	})
}
