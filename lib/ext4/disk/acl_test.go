package disk

import (
	"bytes"
	"testing"

	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/posixacl"
)

func TestACL(t *testing.T) {
	for _, c := range []struct{ name, value, disk string }{
		{"none", "", ""},
		{"no entries", ext4test.ACL(), ""},
		{"short", ext4test.ShortACL, "\x01\x00\x00\x00" + "\x01\x00\x07\x00" + "\x04\x00\x05\x00" + "\x20\x00\x00\x00"},
		{"long", ext4test.LongACL, "\x01\x00\x00\x00" + "\x01\x00\x06\x00" + "\x02\x00\x07\x00\x70\x11\x01\x00" + "\x02\x00\x01\x00\x01\x00\x00\x00" +
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

func TestPackACLRefuses(t *testing.T) {
	owner, group, mask, other := [3]uint32{1, 7, posixacl.NoID}, [3]uint32{4, 7, posixacl.NoID}, [3]uint32{16, 7, posixacl.NoID}, [3]uint32{32, 7, posixacl.NoID}
	user, team := [3]uint32{2, 7, 5}, [3]uint32{8, 7, 5}
	for name, value := range map[string]string{
		"cut":                    ext4test.ShortACL[:len(ext4test.ShortACL)-1],
		"cut in the header":      "\x02\x00",
		"version":                "\x01" + ext4test.ShortACL[1:],
		"no owner":               ext4test.ACL(group, other),
		"two owners":             ext4test.ACL(owner, owner, group, other),
		"no group":               ext4test.ACL(owner, other),
		"two groups":             ext4test.ACL(owner, group, group, other),
		"no other":               ext4test.ACL(owner, group),
		"two others":             ext4test.ACL(owner, group, other, other),
		"two masks":              ext4test.ACL(owner, group, mask, mask, other),
		"user without mask":      ext4test.ACL(owner, user, group, other),
		"team without mask":      ext4test.ACL(owner, group, team, other),
		"user behind the group":  ext4test.ACL(owner, group, user, mask, other),
		"team before the group":  ext4test.ACL(owner, team, group, mask, other),
		"team behind the mask":   ext4test.ACL(owner, group, mask, team, other),
		"mask behind the others": ext4test.ACL(owner, group, other, mask),
		"permission 8":           ext4test.ACL([3]uint32{1, 8, posixacl.NoID}, group, other),
		"tag 64":                 ext4test.ACL(owner, group, other, [3]uint32{64, 7, 1}),
		"tag 0":                  ext4test.ACL(owner, group, [3]uint32{0, 7, 1}, other),
		"user without number":    ext4test.ACL(owner, [3]uint32{2, 7, posixacl.NoID}, group, mask, other),
	} {
		if b, err := packACL(value); err == nil {
			t.Errorf("%s: accepted as %x", name, b)
		}
	}
}

func FuzzACL(f *testing.F) {
	for _, value := range []string{ext4test.ShortACL, ext4test.LongACL} {
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
