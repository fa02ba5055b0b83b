package layer_test

import (
	"strings"
	"testing"

	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// TestLongMarks has whiteouts of names that are as long as names can be, and whose
// entries' names are longer, there and back.
func TestLongMarks(t *testing.T) {
	deep := strings.Repeat("d/", 1919) // with a name of 255 behind it 4,093 bytes
	for _, path := range []string{
		strings.Repeat("a", 251), strings.Repeat("b", 252), strings.Repeat("c", 255), "d/" + strings.Repeat("d", 253), "./" + strings.Repeat("e", 255),
		deep + strings.Repeat("f", 255), strings.Repeat("g", 255) + "/" + strings.Repeat("h", 255),
	} {
		dir, base := "", strings.TrimPrefix(path, "./")
		if i := strings.LastIndexByte(base, '/'); i >= 0 {
			dir, base = base[:i+1], base[i+1:]
		}
		data := rawTar(pax("path", dir+".wh."+base), raw{name: "x"})
		want := dir + base + " char 0000 0 0 0.000000000 0:0\n"
		if got, err := readAll(t, data, layer.Options{}); err != nil || got != want {
			t.Errorf("whiteout of %d bytes: %v, got\n%s", len(base), err, got)
		}
		written := writeTar(t, layer.WriterOptions{Layer: true}, &tree.Entry{Path: dir + base, Type: tree.Char})
		if got, err := readAll(t, written, layer.Options{}); err != nil || got != want {
			t.Errorf("whiteout of %d bytes, written: %v, got\n%s", len(base), err, got)
		}
	}
	longest := strings.Repeat("d/", 2046) + "dir" // 4,095 bytes
	data := writeTar(t, layer.WriterOptions{Layer: true}, &tree.Entry{Path: longest, Type: tree.Dir, NoChange: true, Mode: 0o755, Xattrs: []tree.Xattr{tree.Opaque}})
	if got, err := readAll(t, data, layer.Options{}); err != nil || got != longest+" dir 0755 0 0 0.000000000 trusted.overlay.opaque=\"y\" nochange\n" {
		t.Errorf("opaque directory: %v, got\n%s", err, got)
	}
	for _, c := range []struct{ name, want string }{
		{".wh." + strings.Repeat("x", 256), "path component of 256 bytes, over 255"},
		{"d/.wh." + strings.Repeat("x", 256), "path component of 256 bytes, over 255"},
		{strings.Repeat("x", 256) + "/.wh.x", "path component of 256 bytes, over 255"},
		{strings.Repeat("x", 256) + "/.wh..wh..opq", "path component of 256 bytes, over 255"},
		{strings.Repeat("x", 256), "path component of 256 bytes, over 255"},
		{strings.Repeat("d/", 2047) + ".wh.xx", "path of 4096 bytes, over 4095"},
		{".wh." + strings.Repeat("x", 251) + "/y", "whiteout in place of a directory"},
		{".wh..wh." + strings.Repeat("x", 250), "not a name that a whiteout can hide"},
	} {
		_, err := readAll(t, rawTar(pax("path", c.name), raw{name: "x"}), layer.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q of %d bytes: %v", c.name, len(c.name), err)
		}
	}
}

// TestLongLinkTarget has a hard link to a name that a component of a mark would be.
func TestLongLinkTarget(t *testing.T) {
	_, err := readAll(t, rawTar(pax("linkpath", ".wh."+strings.Repeat("x", 252)), raw{kind: '1', name: "h"}), layer.Options{})
	if err == nil || !strings.Contains(err.Error(), "path component of 256 bytes") {
		t.Error(err)
	}
}
