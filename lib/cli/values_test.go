package cli

import "testing"

func TestUUID(t *testing.T) {
	var u UUID
	if err := u.UnmarshalText([]byte("01234567-89ab-cdef-0123-456789ABCDEF")); err != nil || u[0] != 0x01 || u[15] != 0xEF {
		t.Errorf("%x, %v", u, err)
	}
	for _, bad := range []string{"", "0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdeg", "01234567-89ab-cdef-0123-456789abcdef-"} {
		if err := u.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a UUID", bad)
		}
	}
}

func TestSizeOrNone(t *testing.T) {
	for text, want := range map[string]SizeOrNone{"none": 0, "4M": 4 << 20, "4096": 4096} {
		var n SizeOrNone = 1
		if err := n.UnmarshalText([]byte(text)); err != nil || n != want {
			t.Errorf("%s: %d, %v", text, n, err)
		}
	}
	for _, bad := range []string{"", "0", "None", "-1", "64X"} {
		var n SizeOrNone
		if err := n.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken for %d", bad, n)
		}
	}
}
