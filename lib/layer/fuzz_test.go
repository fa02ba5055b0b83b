package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/layer"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/treetest"
)

// seeds are layers that the reader accepts, with entries of every kind and in
// every dialect.
func seeds(t testing.TB) [][]byte {
	list := [][]byte{
		sample(t), gzipped(t, sample(t)), zstdFrames(t, sample(t)), endBlocks,
		rawTar(raw{kind: 'V', name: "a", data: "x"}, raw{kind: 'V', name: "d/"}, raw{name: "\xff", signed: true}),
		rawTar(raw{kind: 'L', name: "x", data: "long\x00"}, raw{kind: 'K', name: "x", data: "link\x00"}, raw{kind: '2', name: "s", link: "t"}),
		rawTar(pax("path", "p/q", "mtime", "-1.5", "uid", "4000000000", "SCHILY.xattr.user.a", "b", "LIBARCHIVE.xattr.user.c", "QQ"), raw{name: "x", data: "data"}),
		rawTar(raw{kind: 'g', name: "g", data: paxRecord("uid", "7")}, raw{kind: '3', name: "c", major: "1", minor: "3"}, raw{kind: '4', name: "b", major: base256(8, 8), minor: "1"}, raw{kind: '6', name: "p"}),
		rawTar(pax("GNU.sparse.size", "10", "GNU.sparse.numblocks", "1", "GNU.sparse.offset", "5", "GNU.sparse.numbytes", "2"), raw{name: "f", data: "ab"}),
		rawTar(pax("GNU.sparse.size", "10", "GNU.sparse.name", "f", "GNU.sparse.map", "1,1,3,1"), raw{name: "g", data: "ab"}),
		rawTar(pax("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "f", "GNU.sparse.realsize", "10"), raw{name: "g", data: "1\n4\n2\n" + strings.Repeat("\x00", 506) + "ab"}),
		rawTar(raw{kind: 'S', magic: "ustar  \x00", name: "f", size: "2", prefix: strings.Repeat("\x00", 41) + "00000000004\x0000000000002\x00" + strings.Repeat("\x00", 72) + "\x0000000000012", data: "ab"}),
	}
	for _, c := range bothNames {
		list = append(list, rawTar(c.headers...))
	}
	for _, c := range cases {
		for _, l := range parseStack(c.stack) {
			data := tarOf(t, l)
			if _, err := readAll(t, data, layer.Options{}); err == nil {
				list = append(list, data)
			}
		}
	}
	return list
}

func TestSeedsAreAccepted(t *testing.T) {
	for i, data := range seeds(t) {
		if got, err := readAll(t, data, layer.Options{}); err != nil {
			t.Errorf("seed %d: %v\n%s", i, err, got)
		}
	}
	if n := len(seeds(t)); n < 100 {
		t.Errorf("only %d seeds", n)
	}
	comparable := 0
	for _, data := range seeds(t) {
		if lines, ok := readArchiveTar(data); ok && len(lines) > 0 {
			comparable++
		}
	}
	if comparable < 40 {
		t.Errorf("only %d seeds can be compared with archive/tar", comparable)
	}
}

// repair puts the right checksum into every block that looks like a header, so that
// what the fuzzer changes there is not all refused for the same reason.
func repair(data []byte) []byte {
	data = bytes.Clone(data)
	for b := data; len(b) >= 512; b = b[512:] {
		if string(b[257:262]) != "ustar" {
			continue
		}
		copy(b[148:156], "        ")
		sum := 0
		for _, c := range b[:512] {
			sum += int(c)
		}
		copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
	}
	return data
}

// fuzzLimits keep what a gzip bomb makes within bounds.
var fuzzLimits = tree.Limits{Entries: 10_000, TotalSize: 4 << 20, Depth: 1000, XattrBytes: 1 << 20}

// FuzzReader reads anything. A layer that is accepted must pass through a stream without a
// change.
func FuzzReader(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = repair(data)
		partly(t, data)
		src, err := layer.NewReader(bytes.NewReader(data), layer.Options{AllowUnterminated: true})
		if err != nil {
			return
		}
		defer src.Close()
		var stream bytes.Buffer
		if tree.Copy(context.Background(), tree.NewWriter(&stream, tree.WriterOptions{}), tree.Limit(src, fuzzLimits)) != nil {
			return
		}
		again, err := layer.NewReader(bytes.NewReader(data), layer.Options{AllowUnterminated: true})
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		want, wantErr := tree.ReadLayer(again, keepInMemory)
		r, err := tree.NewReader(&stream, tree.ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := tree.ReadLayer(r, keepInMemory)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("from the stream: %v, without it: %v", err, wantErr)
		}
		if err != nil {
			return
		}
		a, b := describeShort(t, got), describeShort(t, want)
		if a != b {
			t.Fatalf("from the stream:\n%s\nwithout it:\n%s", a, b)
		}
		// Nothing that it holds breaks the application of a layer.
		flat := tree.NewFlat()
		if flat.Apply(want) != nil {
			return
		}
		for src := flat.Source(tree.Flat); ; {
			e, err := src.Next()
			if err == io.EOF {
				return
			}
			if err != nil || e.IsWhiteout() || e.IsOpaque() || e.NoChange || e.Lower != nil {
				t.Fatalf("%v in a flat tree, %v", e, err)
			}
		}
	})
}

// partly checks that the reader skips the parts of contents that are not read.
func partly(t *testing.T, data []byte) {
	reftest.Partly(t, true, func() (reftest.Next, error) {
		src, err := layer.NewReader(bytes.NewReader(data), layer.Options{AllowUnterminated: true})
		if err != nil {
			return nil, err
		}
		limited := tree.Limit(src, fuzzLimits)
		next := treetest.Next(limited)
		return func() (string, io.WriterTo, error) {
			shown, content, err := next()
			if err != nil {
				src.Close()
			}
			return shown, content, err
		}, nil
	})
}

// describeShort is describe with the data of files as it is in them, since a
// hole may be as large as it likes.
func describeShort(t *testing.T, l *tree.Tree) string {
	var b strings.Builder
	for src := l.Source(tree.Layer); ; {
		e, err := src.Next()
		if err == io.EOF {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%q %q %q %s %v", e.Path, attributes(e), e.Hardlink, lowerText(e), e.NoChange)
		if e.Content != nil {
			if _, err := e.Content.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
		}
		b.WriteByte('\n')
	}
}

// FuzzAgainstArchiveTar compares with Go's archive/tar where both accept a tar of
// files, directories, devices and pipes.
func FuzzAgainstArchiveTar(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = repair(data)
		want, ok := readArchiveTar(data)
		if !ok {
			return
		}
		src, err := layer.NewReader(bytes.NewReader(data), layer.Options{AllowUnterminated: true, AllowZeroDevice: true})
		if err != nil {
			return
		}
		defer src.Close()
		var got []string
		for {
			e, err := src.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return
			}
			line := fmt.Sprintf("%q %s", e.Path, attributes(e))
			if e.Content != nil {
				var b bytes.Buffer
				if _, err := e.Content.WriteTo(&b); err != nil {
					return
				}
				line += fmt.Sprintf(" %q", b.String())
			}
			got = append(got, line)
		}
		if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
			t.Errorf("got\n%s\narchive/tar has\n%s", a, b)
		}
	})
}

// unlike reports whether there are records that archive/tar does not interpret, or
// whose empty value deletes what the header block has.
func unlike(records map[string]string) bool {
	for key, value := range records {
		if value == "" || !slices.Contains([]string{"path", "size", "uid", "gid", "mtime", "comment"}, key) {
			return true
		}
	}
	return false
}

// readArchiveTar describes a tar as archive/tar reads it, unless there is more in
// it than what both must agree on.
func readArchiveTar(data []byte) (lines []string, ok bool) {
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return lines, true
		}
		if err != nil {
			return nil, false
		}
		e := tree.Entry{
			Path: path.Clean("/" + h.Name)[1:], Mode: uint16(h.Mode & 0o7777), UID: uint32(h.Uid), GID: uint32(h.Gid),
			Time: tree.TimeOf(h.ModTime),
		}
		if e.Path == "" {
			e.Path = "."
		}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeCont:
			e.Type, e.Size = tree.File, h.Size
		case tar.TypeDir:
			e.Type = tree.Dir
		case tar.TypeChar:
			e.Type, e.Dev = tree.Char, tree.Device{Major: uint32(h.Devmajor), Minor: uint32(h.Devminor)}
		case tar.TypeBlock:
			e.Type, e.Dev = tree.Block, tree.Device{Major: uint32(h.Devmajor), Minor: uint32(h.Devminor)}
		case tar.TypeFifo:
			e.Type = tree.Fifo
		case tar.TypeXGlobalHeader:
			continue
		default:
			return nil, false
		}
		far := h.ModTime.Unix() < math.MinInt32 || h.ModTime.Unix() > math.MaxUint32
		if strings.Contains(h.Name, ".wh.") || unlike(h.PAXRecords) || far || e.IsWhiteout() || h.Format == tar.FormatUnknown && h.Typeflag >= '3' {
			return nil, false
		}
		line := fmt.Sprintf("%q %s", e.Path, attributes(&e))
		content, err := io.ReadAll(io.LimitReader(r, 1<<20))
		if err != nil {
			return nil, false
		}
		if len(content) > 0 {
			line += fmt.Sprintf(" %q", content)
		}
		if e.Type == tree.File && int64(len(content)) != h.Size {
			return nil, false // sparse
		}
		lines = append(lines, line)
	}
}
