package erofstest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

// Stream returns what src yields, as a tree stream without data but with digests:
// that names everything an Entry has, but for holes.
func Stream(t testing.TB, src tree.Source) string {
	t.Helper()
	var b bytes.Buffer
	if err := tree.Copy(t.Context(), tree.NewWriter(&b, tree.WriterOptions{Data: tree.None, Digest: true}), src); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// List returns the entries of src by path.
func List(t testing.TB, src tree.Source) map[string]tree.Entry {
	t.Helper()
	all := make(map[string]tree.Entry)
	for {
		e, err := src.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[e.Path] = *e
	}
}

// Canonical returns the tree stream of entries in canonical order, as erofs2tree
// should give it again.
func Canonical(t testing.TB, form tree.Form, entries ...tree.Entry) string {
	t.Helper()
	tr := tree.New()
	for i := range entries {
		if _, err := tr.Put(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	return Stream(t, tr.Source(form))
}

// FirstDifference names the first line in which two streams differ.
func FirstDifference(want, have string) string {
	a, b := strings.Split(want, "\n"), strings.Split(have, "\n")
	for i := 0; i < max(len(a), len(b)); i++ {
		line := func(l []string) string {
			if i < len(l) {
				return l[i]
			}
			return "(end)"
		}
		if line(a) != line(b) {
			return fmt.Sprintf("line %d:\n have %s\n want %s", i+1, line(b), line(a))
		}
	}
	return ""
}

// Fill adds entries to sink and completes it.
func Fill(t testing.TB, sink tree.Sink, entries ...tree.Entry) {
	t.Helper()
	for i := range entries {
		if err := sink.Add(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}
