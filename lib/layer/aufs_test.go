package layer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"ocipipe/lib/layer"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// TestPseudoLinkStream reads a single layer in one pass: the file appears under its first
// name, with all its attributes, and its content may be read at any time.
func TestPseudoLinkStream(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 200_000)
	for name, pack := range map[string]func(testing.TB, ...[]byte) []byte{"plain": nil, "gzip": gzipped} {
		data := rawTar(
			raw{kind: '5', name: "./.wh..wh.plnk"},
			pax("SCHILY.xattr.user.a", "1"), raw{name: "./.wh..wh.plnk/123.456", mode: "755", uid: "7", data: big},
			pax("GNU.sparse.size", "10", "GNU.sparse.map", "5,2"), raw{name: "./.wh..wh.plnk/124.456", data: "ab"},
			raw{kind: '1', name: "bin/b", link: "./.wh..wh.plnk/124.456"},
			raw{kind: '1', name: "bin/a", link: "./.wh..wh.plnk/123.456"},
			raw{name: "other", data: "other"},
			raw{kind: '1', name: "bin/c", link: ".wh..wh.plnk/123.456", mode: "600"},
		)
		if pack != nil {
			data = pack(t, data)
		}
		want := "bin/b file 0000 0 0 0.000000000 size=10 extents=[{5 2}] \"ab\"\n" +
			fmt.Sprintf("bin/a file 0755 7 0 0.000000000 size=%d user.a=\"1\" %q\n", len(big), big) +
			"other file 0000 0 0 0.000000000 size=5 \"other\"\n" +
			fmt.Sprintf("bin/c file 0755 7 0 0.000000000 size=%d user.a=\"1\" = bin/a\n", len(big))
		if got, err := readAll(t, data, layer.Options{SpoolDir: t.TempDir()}); err != nil || got != want {
			t.Errorf("%s: %v, got %.300s\nwant %.300s", name, err, got, want)
		}
	}
}

// TestPseudoLinkContent can be read twice and after other entries, until the reader
// is closed.
func TestPseudoLinkContent(t *testing.T) {
	src, err := layer.NewReader(bytes.NewReader(rawTar(
		raw{name: ".wh..wh.plnk/1", data: "held"}, raw{kind: '1', name: "a", link: ".wh..wh.plnk/1"}, raw{name: "b", data: "other"},
	)), layer.Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	e, err := src.Next()
	if err != nil {
		t.Fatal(err)
	}
	held := e.Content
	for range 3 {
		var b bytes.Buffer
		if _, err := held.WriteTo(&b); err != nil || b.String() != "held" {
			t.Errorf("%q, %v", b.String(), err)
		}
		src.Next()
	}
	src.Close()
	if n, err := held.WriteTo(io.Discard); err == nil || n != 0 {
		t.Errorf("after Close %d bytes, %v", n, err)
	}
}

// TestPseudoLinkLimits holds no more than the limits say, and no spool where there
// are none.
func TestPseudoLinkLimits(t *testing.T) {
	dir := t.TempDir()
	data := rawTar(raw{name: ".wh..wh.plnk/1", data: strings.Repeat("x", 600)}, raw{name: ".wh..wh.plnk/2", data: strings.Repeat("x", 600)})
	for which, limits := range map[tree.LimitKind]tree.Limits{
		tree.LimitFileSize: {FileSize: 599}, tree.LimitTotalSize: {TotalSize: 1199}, tree.LimitEntries: {Entries: 2}, tree.LimitDepth: {Depth: 1},
	} {
		_, err := readAll(t, data, layer.Options{SpoolDir: dir, Limits: limits})
		if limit := (*tree.LimitError)(nil); !errors.As(err, &limit) || limit.Which != which {
			t.Errorf("%s: %v", which, err)
		}
		loaded, err := layer.Load(context.Background(), input("x", data, layer.Options{}), layer.LoadOptions{SpoolDir: dir, Limits: limits})
		if limit := (*tree.LimitError)(nil); !errors.As(err, &limit) || limit.Which != which {
			t.Errorf("%s, loaded: %v, %v", which, loaded, err)
		}
	}
	gone := dir + "/gone"
	if _, err := readAll(t, rawTar(raw{kind: '5', name: ".wh..wh.plnk"}, raw{name: "a", data: "x"}), layer.Options{SpoolDir: gone}); err != nil {
		t.Error(err)
	}
	if _, err := readAll(t, data, layer.Options{SpoolDir: gone}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	cut := data[:1024]
	if _, err := readAll(t, cut, layer.Options{SpoolDir: dir}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut short: %v", err)
	}
}

// TestManyPseudoLinks has names that are replaced as fast as they come.
func TestManyPseudoLinks(t *testing.T) {
	reftest.OneThread(t)
	const n = 50_000
	headers := []raw{{name: ".wh..wh.plnk/1", data: "x"}}
	for i := range n {
		headers = append(headers, raw{kind: '1', name: fmt.Sprintf("l%d", i), link: ".wh..wh.plnk/1"})
	}
	for i := range n {
		headers = append(headers, raw{name: fmt.Sprintf("l%d", i)}, raw{kind: '1', name: "last", link: ".wh..wh.plnk/1"})
	}
	data := rawTar(headers...)
	bounded(t, 400, func() {
		loaded, err := layer.Load(context.Background(), input("x", data, layer.Options{}), layer.LoadOptions{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer loaded.Close()
		if e := loaded.Lookup("last").Entry; contentOf(t, e) != "x" {
			t.Error("the last name has another content")
		}
	})
}
