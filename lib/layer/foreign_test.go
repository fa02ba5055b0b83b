package layer_test

import (
	"bytes"
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

// What has an entry is a tar, whatever the name of that looks like.
func TestForeignName(t *testing.T) {
	for _, name := range []string{"%PDF-1.4", "<!DOCTYPE html>", "QFI\xfb", "#!/bin/sh", "#mtree ocipipe-tree 1 data=inline\n"} {
		for _, kind := range []byte{'0', 'V'} {
			first := raw{name: name, kind: kind, data: strings.Repeat("x", 1000)}.bytes()
			if _, err := readAll(t, first[:600], layer.Options{}); err == nil || !strings.Contains(err.Error(), "cut short at byte ") {
				t.Errorf("%q %c: cut in its content: %v", name, kind, err)
			}
			junk := append(first, bytes.Repeat([]byte{1}, 512)...)
			if _, err := readAll(t, junk, layer.Options{}); err == nil || !strings.Contains(err.Error(), "checksum") {
				t.Errorf("%q %c: then junk: %v", name, kind, err)
			}
		}
	}
}
