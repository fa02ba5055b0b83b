package read_test

import (
	"errors"
	"strings"
	"testing"

	"ocipipe/lib/erofs/read"
	"ocipipe/lib/magic"
)

// TestForeign opens what is no EROFS image. What is recognised is named.
func TestForeign(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "the input is empty"},
		{"\x1f\x8b\x08\x00", "is compressed with gzip, not an EROFS image"},
		{"#mtree ocipipe-tree 1 data=inline\n" + strings.Repeat("\x00", 4096), "is a tree stream, not an EROFS image"},
		{strings.Repeat("\x00", 1080) + "\x53\xef" + strings.Repeat("\x00", 4096), "is an ext4 file system, not an EROFS image"},
		{"\x01", "byte 0: 1 bytes are too few for a superblock: corrupt EROFS image"},
		{strings.Repeat("\x01", 4096), "byte 1024: no EROFS superblock here: corrupt EROFS image"},
	} {
		_, err := read.Open(strings.NewReader(c.in), int64(len(c.in)))
		if err == nil || err.Error() != c.want || !errors.Is(err, read.ErrCorrupt) {
			t.Errorf("%.40q: %v, expected %s", c.in, err, c.want)
		}
		if foreign := (*magic.Error)(nil); errors.As(err, &foreign) && foreign.Want != magic.EROFS {
			t.Errorf("%.40q: wanted is %s", c.in, foreign.Want)
		}
	}
}
