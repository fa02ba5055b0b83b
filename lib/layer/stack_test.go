package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// item is an entry of a layer's tar, as little as says everything: the attributes
// and the content follow from id.
type item struct {
	kind byte // tar's letter
	name string
	link string
	id   int
}

var kindNames = map[byte]string{
	'0': "file", '1': "hard", '2': "sym", '3': "char", '4': "block", '5': "dir", '6': "fifo",
}

func (it item) String() string {
	s := fmt.Sprintf("%-5s %s", kindNames[it.kind], it.name)
	if it.link != "" {
		s += " -> " + it.link
	}
	return fmt.Sprintf("%s #%d", s, it.id)
}

// parseStack reads layers as the tests print them: an item a line or between
// semicolons, layers separated by "|".
func parseStack(text string) (layers [][]item) {
	kinds := map[string]byte{}
	for k, name := range kindNames {
		kinds[name] = k
	}
	id := 0
	for _, l := range strings.Split(text, "|") {
		var items []item
		for _, line := range strings.FieldsFunc(l, func(r rune) bool { return r == '\n' || r == ';' }) {
			f := strings.Fields(line)
			if len(f) == 0 {
				continue
			}
			id++
			it := item{id: id}
			if k, ok := kinds[f[0]]; ok {
				it.kind, f = k, f[1:]
			} else {
				it.kind = '0'
			}
			it.name, f = f[0], f[1:]
			for i, w := range f {
				if w == "->" {
					it.link = f[i+1]
				}
				if strings.HasPrefix(w, "#") {
					fmt.Sscanf(w, "#%d", &it.id)
				}
			}
			items = append(items, it)
		}
		layers = append(layers, items)
	}
	return layers
}

func printStack(layers [][]item) string {
	var b strings.Builder
	for i, l := range layers {
		fmt.Fprintf(&b, "layer %d:\n", i)
		for _, it := range l {
			fmt.Fprintf(&b, "\t%v\n", it)
		}
	}
	return b.String()
}

// header is the entry as archive/tar has it; id differs in every attribute.
func (it item) header() (*tar.Header, string) {
	h := &tar.Header{
		Typeflag: it.kind, Name: it.name, Linkname: it.link,
		Mode: int64(0o400 + it.id%0o400), Uid: 1000 + it.id, Gid: 2000 + it.id,
		ModTime:    time.Unix(int64(1000000+it.id), int64(it.id)*1000),
		Format:     tar.FormatPAX,
		PAXRecords: map[string]string{},
	}
	content := ""
	switch it.kind {
	case tar.TypeReg:
		content = strings.Repeat(fmt.Sprintf("content %d\n", it.id), it.id%3)
		h.Size = int64(len(content))
	case tar.TypeSymlink:
		h.Mode = 0o777
	case tar.TypeChar, tar.TypeBlock:
		h.Devmajor, h.Devminor = 8, int64(it.id)
	}
	if it.id%4 == 0 && (it.kind == tar.TypeReg || it.kind == tar.TypeDir) {
		h.PAXRecords["SCHILY.xattr.user.id"] = fmt.Sprintf("%d\x00", it.id)
	}
	return h, content
}

const plainDir = "dir 0755 0 0 0.000000000"

// inode is what the entry makes, in the words of describe.
func (it item) inode() *inode {
	h, content := it.header()
	n := &inode{id: it.id, link: it.link}
	e := &tree.Entry{
		Mode: uint16(h.Mode), UID: uint32(h.Uid), GID: uint32(h.Gid), Time: tree.TimeOf(h.ModTime), Size: h.Size, Link: it.link,
	}
	e.Type = map[byte]tree.Type{
		'0': tree.File, '2': tree.Link, '3': tree.Char, '4': tree.Block, '5': tree.Dir, '6': tree.Fifo,
	}[it.kind]
	if it.kind == '3' || it.kind == '4' {
		e.Dev = tree.Device{Major: 8, Minor: uint32(it.id)}
	}
	for name, value := range h.PAXRecords {
		e.Xattrs = append(e.Xattrs, tree.Xattr{Name: strings.TrimPrefix(name, "SCHILY.xattr."), Value: value})
	}
	n.typ, n.what = e.Type, attributes(e)+quoteContent(content)
	return n
}

// attributes is e in words, without names and content.
func attributes(e *tree.Entry) string {
	s := fmt.Sprintf("%v %04o %d %d %d.%09d", e.Type, e.Mode, e.UID, e.GID, e.Time.Sec, e.Time.Nsec)
	switch e.Type {
	case tree.File:
		s += fmt.Sprintf(" size=%d", e.Size)
	case tree.Link:
		s += " -> " + e.Link
	case tree.Char, tree.Block:
		s += fmt.Sprintf(" %d:%d", e.Dev.Major, e.Dev.Minor)
	}
	for _, x := range e.Xattrs {
		s += fmt.Sprintf(" %s=%q", x.Name, x.Value)
	}
	if e.Extents != nil {
		s += fmt.Sprintf(" extents=%v", e.Extents)
	}
	return s
}

func quoteContent(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf(" %q", s)
}

// tarOf is the layer's tar.
func tarOf(t testing.TB, items []item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, it := range items {
		h, content := it.header()
		if err := w.WriteHeader(h); err != nil {
			t.Fatalf("%v: %v", it, err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatalf("%v: %v", it, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func input(name string, data []byte, opts layer.Options) layer.Input {
	return layer.Input{Name: name, Options: opts, Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

func inputs(t testing.TB, layers [][]item) (in []layer.Input) {
	t.Helper()
	for i, l := range layers {
		in = append(in, input(fmt.Sprintf("layer %d", i), tarOf(t, l), layer.Options{}))
	}
	return in
}

// mergeTars merges the layers the way tar2tree does.
func mergeTars(t testing.TB, layers [][]item, jobs int) (string, error) {
	t.Helper()
	merged, err := layer.Merge(context.Background(), inputs(t, layers), layer.LoadOptions{Jobs: jobs, SpoolDir: t.TempDir()})
	if err != nil {
		return "", err
	}
	src := merged.Source(tree.Flat)
	defer src.Close()
	return describe(t, src), nil
}

// describe lists what src yields in the words of describeModel.
func describe(t testing.TB, src tree.Source) string {
	t.Helper()
	var b strings.Builder
	inodes := map[string]string{}
	for {
		e, err := src.Next()
		if err == io.EOF {
			return b.String()
		}
		if err != nil {
			t.Fatalf("tree: %v", err)
		}
		what := inodes[e.Hardlink]
		if e.Hardlink == "" {
			what = attributes(e) + quoteContent(contentOf(t, e))
		} else if want, _, _ := strings.Cut(what, ` "content`); want != attributes(e) {
			t.Fatalf("%s: hard link has attributes %q, its target %q", e.Path, attributes(e), want)
		}
		inodes[e.Path] = what
		fmt.Fprintf(&b, "%s %s", e.Path, what)
		b.WriteString(lowerText(e))
		if e.NoChange {
			b.WriteString(" nochange")
		}
		if e.Hardlink != "" {
			fmt.Fprintf(&b, " = %s", e.Hardlink)
		}
		b.WriteByte('\n')
	}
}

// lowerText is what e says of the layers below.
func lowerText(e *tree.Entry) string {
	switch {
	case e.Lower == nil:
		return ""
	case e.Lower.Else:
		return " below " + strings.Join(e.Lower.Targets, ",")
	}
	return " lower " + strings.Join(e.Lower.Targets, ",")
}

func contentOf(t testing.TB, e *tree.Entry) string {
	t.Helper()
	if e.Content == nil {
		return ""
	}
	var b bytes.Buffer
	if err := tree.WriteExpanded(&b, e); err != nil {
		t.Fatalf("%s: %v", e.Path, err)
	}
	return b.String()
}
