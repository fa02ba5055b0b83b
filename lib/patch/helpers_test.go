package patch

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

// text is the content of a file.
func text(s string) tree.Bytes { return tree.Bytes(s) }

func dir(path string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.Dir, Mode: 0o755, Time: tree.Time{Sec: 11}}
}

func file(path, content string) tree.Entry {
	e := tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Time: tree.Time{Sec: 22}, Size: int64(len(content))}
	if content != "" {
		e.Content = text(content)
	}
	return e
}

func symlink(path, target string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.Link, Mode: 0o777, Link: target, Time: tree.Time{Sec: 33}}
}

func hardlink(path string, target tree.Entry) tree.Entry {
	target.Path, target.Hardlink, target.Content = path, target.Path, nil
	return target
}

func device(path string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.Char, Mode: 0o600, Dev: tree.Device{Major: 1, Minor: 3}, Time: tree.Time{Sec: 44}}
}

func whited(path string) tree.Entry { return tree.Entry{Path: path, Type: tree.Char} }

func implied(path string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.Dir, NoChange: true}
}

func with(e tree.Entry, change func(e *tree.Entry)) tree.Entry {
	change(&e)
	return e
}

// layer is a tree that keeps its marks.
func layer(t testing.TB, entries ...tree.Entry) *tree.Tree {
	t.Helper()
	tr := tree.New()
	for i := range entries {
		if _, err := tr.Put(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// merged are layers, from bottom to top, as one tree.
func merged(t testing.TB, layers ...[]tree.Entry) *tree.Tree {
	t.Helper()
	tr := tree.NewFlat()
	for _, entries := range layers {
		if err := tr.Apply(layer(t, entries...)); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// stream is src as a tree stream, without its first and last line.
func stream(t testing.TB, src tree.Source) string {
	t.Helper()
	var b bytes.Buffer
	if err := tree.Copy(context.Background(), tree.NewWriter(&b, tree.WriterOptions{}), src); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(b.String(), "\n")
	return strings.Join(lines[1:len(lines)-2], "")
}

func apply(t testing.TB, lower *tree.Tree, opts Options, ops ...Op) *Result {
	t.Helper()
	r, err := Apply(context.Background(), lower, ops, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read is what r yields, by path.
func read(t testing.TB, src tree.Source) map[string]tree.Entry {
	t.Helper()
	found := make(map[string]tree.Entry)
	for {
		e, err := src.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := found[e.Path]; twice {
			t.Fatalf("%s is there twice", e.Path)
		}
		found[e.Path] = *e
	}
}

// content is that of a file without holes.
func content(t testing.TB, e tree.Entry) string {
	t.Helper()
	if e.Content == nil {
		return ""
	}
	var b bytes.Buffer
	if _, err := e.Content.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func ptr[T any](v T) *T { return &v }
