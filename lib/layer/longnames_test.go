package layer_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"ocipipe/lib/layer"
)

// bothNames are entries that have a name by a GNU header and another by a pax one,
// and what archive/tar, and so containerd and Docker, takes. GNU tar takes the other.
var bothNames = []struct {
	name    string
	headers []raw
	want    string
}{
	{"long name, then pax", []raw{{kind: 'L', name: "x", data: "gnu\x00"}, pax("path", "pax"), {name: "h"}}, "gnu"},
	{"pax, then long name", []raw{pax("path", "pax"), {kind: 'L', name: "x", data: "gnu\x00"}, {name: "h"}}, "gnu"},
	{"long link, then pax", []raw{{kind: 'K', name: "x", data: "gnu\x00"}, pax("linkpath", "pax"), {kind: '2', name: "h", link: "t"}}, "h -> gnu"},
	{"pax, then long link", []raw{pax("linkpath", "pax"), {kind: 'K', name: "x", data: "gnu\x00"}, {kind: '2', name: "h", link: "t"}}, "h -> gnu"},
	{"one of each", []raw{{kind: 'K', name: "x", data: "gnu\x00"}, pax("path", "pax"), {kind: '2', name: "h", link: "t"}}, "pax -> gnu"},
	{"two long names", []raw{{kind: 'L', name: "x", data: "a\x00"}, {kind: 'L', name: "x", data: "b\x00"}, {name: "h"}}, "b"},
	{"two pax headers", []raw{pax("path", "a", "uid", "7"), pax("path", "b"), {name: "h"}}, "b"},
	{"two pax headers, the path in the first", []raw{pax("path", "a"), pax("uid", "7"), {name: "h"}}, "h"},
	{"an empty long name", []raw{{kind: 'L', name: "x", data: "\x00"}, pax("path", "pax"), {name: "h"}}, "pax"},
	{"an empty path", []raw{{kind: 'L', name: "x", data: "gnu\x00"}, pax("path", ""), {name: "h"}}, "gnu"},
	{"global path", []raw{{kind: 'g', name: "x", data: paxRecord("path", "global")}, {name: "h"}}, "h"},
	{"long name, then a global header", []raw{{kind: 'L', name: "x", data: "gnu\x00"}, {kind: 'g', name: "x", data: paxRecord("uid", "7")}, {name: "h"}}, "h"},
	{"long link, then a global header", []raw{{kind: 'K', name: "x", data: "gnu\x00"}, {kind: 'g', name: "x", data: paxRecord("uid", "7")}, {kind: '2', name: "h", link: "t"}}, "h -> t"},
	{"pax, then a global header", []raw{pax("path", "pax"), {kind: 'g', name: "x", data: paxRecord("uid", "7")}, {name: "h"}}, "h"},
	{"global header alone", []raw{{kind: 'g', name: "x", data: paxRecord("path", "global")}}, ""},
	{"global header, then a long name", []raw{{kind: 'g', name: "x", data: paxRecord("path", "global")}, {kind: 'L', name: "x", data: "gnu\x00"}, {name: "h"}}, "gnu"},
	{"sparse name, path and long name", []raw{pax("path", "pax", "GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.name", "sparse", "GNU.sparse.size", "1",
		"GNU.sparse.numblocks", "1", "GNU.sparse.map", "0,1"), {kind: 'L', name: "x", data: "gnu\x00"}, {name: "h", data: "x"}}, "sparse"},
	{"sparse name of a file without a map", []raw{pax("path", "pax", "GNU.sparse.name", "sparse"), {name: "h", data: "x"}}, "pax"},
	{"directory by the long name", []raw{{kind: 'L', name: "x", data: "gnu/\x00"}, pax("path", "pax"), {kind: 'V', name: "h"}}, "gnu/"},
	{"file by the long name", []raw{{kind: 'L', name: "x", data: "gnu\x00"}, pax("path", "pax/"), {kind: 'V', name: "h"}}, "gnu"},
}

// TestBothNames compares with the table and, so that this is no invention, with
// archive/tar.
func TestBothNames(t *testing.T) {
	for _, c := range bothNames {
		data := rawTar(c.headers...)
		if theirs := namesOfArchiveTar(t, data); theirs != c.want {
			t.Errorf("%s: archive/tar has %s, the table %s", c.name, theirs, c.want)
		}
		src, err := layer.NewReader(bytes.NewReader(data), layer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			e, err := src.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			name := e.Path
			if e.Link != "" {
				name += " -> " + e.Link
			}
			if e.Type.String() == "dir" {
				name += "/"
			}
			got = append(got, name)
		}
		src.Close()
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// namesOfArchiveTar is what containerd sees, which passes over global headers.
func namesOfArchiveTar(t *testing.T, data []byte) string {
	var names []string
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return strings.Join(names, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		switch h.Typeflag {
		case tar.TypeXGlobalHeader:
		case tar.TypeSymlink:
			names = append(names, fmt.Sprintf("%s -> %s", h.Name, h.Linkname))
		default:
			names = append(names, h.Name)
		}
	}
}
