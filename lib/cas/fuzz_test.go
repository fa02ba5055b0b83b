package cas

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
)

// journalOf is the journal of a part in which these ranges of data have arrived.
func journalOf(t testing.TB, data []byte, list ...Range) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, x := range list {
		if err := (journal{f}).add(x, data[x.Off:x.End]); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// loadJournal loads a journal of a part that holds data.
func loadJournal(t testing.TB, f *os.File, lines, data []byte, size int64) ranges {
	t.Helper()
	f.Truncate(0)
	if _, err := f.WriteAt(lines, 0); err != nil {
		t.Fatal(err)
	}
	f.Seek(0, 0)
	have, err := journal{f}.load(ctx, bytes.NewReader(data), size)
	if err != nil {
		t.Fatal(err)
	}
	return have
}

// FuzzJournal loads a file that may be a journal: the part holds the ranges that it lists,
// and loading it again lists the same ranges.
func FuzzJournal(f *testing.F) {
	data := content(1, 1000)
	file, err := os.Create(filepath.Join(f.TempDir(), "journal"))
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	for _, list := range [][]Range{{{0, 1000}}, {{0, 10}, {500, 600}, {10, 20}}, {{999, 1000}, {0, 999}}} {
		lines := journalOf(f, data, list...)
		want := ranges{}
		for _, x := range list {
			want = want.add(x)
		}
		if got := loadJournal(f, file, lines, data, 1000); !slices.Equal(got, want) {
			f.Fatalf("seed %v loads as %v", list, got)
		}
		f.Add(lines)
	}
	f.Fuzz(func(t *testing.T, lines []byte) {
		have := loadJournal(t, file, lines, data, 1000)
		last := int64(-1)
		for _, x := range have {
			if x.Off <= last || x.End <= x.Off || x.End > 1000 {
				t.Fatalf("ranges %v", have)
			}
			last = x.End
		}
		kept, err := os.ReadFile(file.Name())
		if err != nil || !bytes.HasPrefix(lines, kept) {
			t.Fatalf("kept %q, %v", kept, err)
		}
		if again := loadJournal(t, file, kept, data, 1000); !slices.Equal(again, have) {
			t.Fatalf("first %v, then %v", have, again)
		}
	})
}

// FuzzIndex lists an image in what may be an index.json: either it is refused, or
// the image is listed and what was there is kept.
func FuzzIndex(f *testing.F) {
	dir := f.TempDir()
	s, err := Open(ctx, dir, Options{})
	if err != nil {
		f.Fatal(err)
	}
	r := image(f, s, "a:1", 1, amd64, "index")
	other := image(f, s, "b:1", 2, nil, "")
	f.Add([]byte(emptyIndex))
	for _, x := range []Ref{other, {Name: "a:1", MediaType: manifestType, Digest: other.Digest, Size: 1}, image(f, s, "a:1", 3, arm64, "index")} {
		setRef(f, s, x)
		data, err := os.ReadFile(s.path(layout.Index))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(s.path(layout.Index), data, 0o666); err != nil {
			t.Fatal(err)
		}
		_, before, err := s.readIndex(layout.Index)
		if err != nil {
			return
		}
		if err := s.SetRef(ctx, r, []digest.Digest{other.Digest}); err != nil {
			t.Fatal(err)
		}
		refs, err := s.Refs("a:1")
		if err != nil || !slices.ContainsFunc(refs, func(x Ref) bool { return x.Digest == r.Digest && x.Top == r.Top }) {
			t.Fatalf("lists %v, %v", refs, err)
		}
		_, after, err := s.readIndex(layout.Index)
		if err != nil || len(others(after)) != len(others(before)) {
			t.Fatalf("%d others, then %d: %v", len(others(before)), len(others(after)), err)
		}
	})
}

func others(list []json.RawMessage) []json.RawMessage {
	return slices.DeleteFunc(slices.Clone(list), func(raw json.RawMessage) bool { return decodeEntry(raw).named("a:1") })
}
