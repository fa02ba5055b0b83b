package compression_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ocipipe/lib/compression"
	"ocipipe/lib/reftest"
)

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		head string
		kind compression.Kind
		name string // of what is not read
	}{
		{"", compression.Plain, ""},
		{"\x1f", compression.Plain, ""},
		{"\x1f\x8b", compression.Gzip, ""},
		{"\x1f\x8b\x08\x00", compression.Gzip, ""},
		{"\x28\xb5\x2f\xfd\x04", compression.Zstd, ""},
		{"\x28\xb5\x2f", compression.Plain, ""},
		{"\x50\x2a\x4d\x18", compression.Zstd, ""},
		{"\x5f\x2a\x4d\x18\x00", compression.Zstd, ""},
		{"\x60\x2a\x4d\x18\x00", compression.Plain, ""},
		{"\xfd7zXZ\x00\x00", "", "xz"},
		{"\xfd7zXZ", compression.Plain, ""},
		{"BZh91AY&SY", "", "bzip2"},
		{"BZh1\x17\x72\x45\x38\x50\x90", "", "bzip2"},
		{"BZh01AY&SY", compression.Plain, ""},
		{"BZh9.txt\x00\x00", compression.Plain, ""}, // names of files
		{"LZIP\x00\x00", "", "lzip"},
		{"LZIP.txt\x00", compression.Plain, ""},
		{"LZIP\x01\x17", "", "lzip"},
		{"\x04\x22\x4d\x18\x64", "", "lz4"},
		{"\x02\x21\x4c\x18", "", "lz4"},
		{"\x89LZO\x00\x0d\x0a", "", "lzop"},
		{"\x1f\x9d\x90", "", "compress (.Z)"},
		{"./\x00\x00\x00\x00\x00\x00\x00\x00", compression.Plain, ""},
	} {
		kind, err := compression.Detect([]byte(c.head))
		var unread *compression.Error
		errors.As(err, &unread)
		switch {
		case kind != c.kind:
			t.Errorf("%q: %q, want %q", c.head, kind, c.kind)
		case c.name == "" && err != nil:
			t.Errorf("%q: %v", c.head, err)
		case c.name != "" && (unread == nil || unread.Name != c.name || err.Error() != "unsupported compression: "+c.name):
			t.Errorf("%q: %v, want %s", c.head, err, c.name)
		}
	}
}

// TestInteropDetect knows what the programs write, and the program that the hint
// names unpacks it.
func TestInteropDetect(t *testing.T) {
	for _, c := range []struct{ name, pack string }{
		{"gzip", "gzip -c"}, {"zstd", "zstd -qc"}, {"xz", "xz -c"}, {"bzip2", "bzip2 -c"},
		{"lz4", "lz4 -qc"}, {"lz4", "lz4 -qcl"}, {"lzip", "lzip -c"}, {"lzop", "lzop -c"}, {"compress (.Z)", "compress -cf"},
	} {
		t.Run(c.pack, func(t *testing.T) {
			words := strings.Fields(c.pack)
			for _, text := range []string{"", "text", strings.Repeat("much text\n", 1000)} {
				pack := reftest.Command(t, words[0], words[1:]...)
				pack.Stdin = strings.NewReader(text)
				packed, err := pack.Output()
				if err != nil {
					t.Fatal(err)
				}
				kind, err := compression.Detect(packed[:min(len(packed), compression.HeadSize)])
				var unread *compression.Error
				if !errors.As(err, &unread) {
					if string(kind) != c.name {
						t.Errorf("%d bytes: %q, %v", len(text), kind, err)
					}
					continue
				}
				unpack := reftest.Command(t, "bash", "-c", unread.Unpacker)
				unpack.Stdin = bytes.NewReader(packed)
				got, err := unpack.Output()
				if err != nil || string(got) != text || unread.Name != c.name {
					t.Errorf("%d bytes: %v unpacked by %s: %v", len(text), unread, unread.Unpacker, err)
				}
			}
		})
	}
}
