package layer_test

import (
	"errors"
	"strings"
	"testing"

	"ocipipe/lib/layer"
	"ocipipe/lib/magic"
)

// TestForeign reads what is no tar, and is named.
func TestForeign(t *testing.T) {
	zeros := strings.Repeat("\x00", 4096)
	for _, c := range []struct{ in, is string }{
		{"hello\n", "text"},
		{"#!/bin/sh\n", "a script"},
		{"{}", "JSON"},
		{"#mtree ocipipe-tree 1 data=inline\n" + zeros, "a tree stream"},
		{zeros[:1024] + "\xe2\xe1\xf5\xe0" + zeros, "an EROFS image"}, // begins as an empty tar
		{zeros[:1080] + "\x53\xef" + zeros, "an ext4 file system"},
		{"QFI\xfb" + zeros, "a QCOW2 disk"},
	} {
		for _, opts := range []layer.Options{{}, {AllowUnterminated: true}, {Piped: true}} {
			var foreign *magic.Error
			_, err := readAll(t, []byte(c.in), opts)
			if want := "is " + c.is + ", not a tar archive"; !errors.As(err, &foreign) || err.Error() != want {
				t.Errorf("%v, expected %s", err, want)
			}
		}
	}
	for _, c := range []struct{ in, text string }{
		{"", "the input is empty"},
		{"etc/passwd", "layer is cut short at byte 10 of the tar"},
		{strings.Repeat("\xff", 512), "corrupt layer: byte 0 of the tar: header checksum does not match"},
		{zeros[:1024] + "\x01", "corrupt layer: byte 0 of the tar: zeros and then other data, which is no tar"},
	} {
		if _, err := readAll(t, []byte(c.in), layer.Options{}); err == nil || err.Error() != c.text {
			t.Errorf("%v, expected %s", err, c.text)
		}
	}
}
