package volume_test

import (
	"errors"
	"strings"
	"testing"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/volume"
)

// TestForeign opens what is no ext4 file system. What is recognised is named.
func TestForeign(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "the input is empty"},
		{"a" + strings.Repeat("\x00", 256) + "ustar" + strings.Repeat("\x00", 4096), "is a tar archive, not an ext4 file system"},
		{strings.Repeat("\x00", 1024) + "\xe2\xe1\xf5\xe0" + strings.Repeat("\x00", 4096), "is an EROFS image, not an ext4 file system"},
		{"\x01", "byte 0: 1 bytes are too few for a superblock: corrupt ext4 file system"},
		{strings.Repeat("\x01", 4096), "byte 1024: no ext4 superblock here: corrupt ext4 file system"},
	} {
		_, err := volume.Open(strings.NewReader(c.in), int64(len(c.in)), func(*disk.Superblock) error { return nil })
		if err == nil || err.Error() != c.want || !errors.Is(err, disk.ErrCorrupt) {
			t.Errorf("%.40q: %v, expected %s", c.in, err, c.want)
		}
	}
}
