package disk

import (
	"fmt"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

var testHashSeed = [4]uint32{0x44332211, 0x88776655, 0xCCBBAA99, 0x00FFEEDD}

// The values are those of debugfs' dx_hash; TestInteropHash asks it for more.
func TestHashName(t *testing.T) {
	long := "a-rather-long-name-that-goes-beyond-thirty-two-bytes"
	for _, c := range []struct {
		name     string
		seed     [4]uint32
		unsigned bool
		want     NameHash
	}{
		{"a", [4]uint32{}, false, NameHash{0xD5FA7D7A, 0xACB48187}},
		{"a", testHashSeed, false, NameHash{0x82170AF6, 0xABF663DC}},
		{"a", testHashSeed, true, NameHash{0x82170AF6, 0xABF663DC}},
		{"hello", [4]uint32{}, false, NameHash{0x1746DA32, 0x420013B5}},
		{"hello", testHashSeed, false, NameHash{0x6A6D483E, 0x029B44A0}},
		{long, [4]uint32{}, true, NameHash{0xEAE1DB98, 0x49291904}},
		{long, testHashSeed, false, NameHash{0x4B5AB96C, 0x9763BA1D}},
		{"caf\xc3\xa9", [4]uint32{}, false, NameHash{0xFB9C5E5C, 0x0573E8B8}},
		{"caf\xc3\xa9", testHashSeed, false, NameHash{0xCB2625B2, 0xC8D2C3E0}},
	} {
		if got := HashName(c.name, c.seed, c.unsigned); got != c.want {
			t.Errorf("%q with seed %08x, unsigned %t: %08x, want %08x", c.name, c.seed, c.unsigned, got, c.want)
		}
	}
	if HashName("caf\xc3\xa9", testHashSeed, true) == HashName("caf\xc3\xa9", testHashSeed, false) {
		t.Error("the sign of bytes above 127 makes no difference")
	}
}

// Names of every length, with bytes of either sign.
func TestInteropHash(t *testing.T) {
	var request strings.Builder
	var want []string
	for n := 1; n <= 255; n++ {
		name := make([]byte, n)
		for i := range name {
			name[i] = byte('a' + (i*7+n)%26)
			if n%2 == 1 && i%3 == 0 {
				name[i] |= 0x80
			}
		}
		h := HashName(string(name), testHashSeed, false)
		fmt.Fprintf(&request, "dx_hash -h half_md4 -s 11223344-5566-7788-99aa-bbccddeeff00 %s\n", name)
		want = append(want, fmt.Sprintf("Hash of %s is 0x%x (minor 0x%x)", name, h.Major, h.Minor))
	}
	out, err := reftest.TryInput(t, []byte(request.String()), "debugfs", "-f", "-", "/dev/null")
	if err != nil {
		t.Log(err) // /dev/null is no file system; dx_hash needs none
	}
	for _, line := range want {
		if !strings.Contains(out, line+"\n") {
			t.Errorf("debugfs does not say: %q", line)
		}
	}
}
