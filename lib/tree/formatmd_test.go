package tree

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// examples are the streams in FORMAT.md, by what their first record is.
func examples(t *testing.T) []string {
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		line = strings.TrimPrefix(line, "    ")
		switch {
		case strings.HasPrefix(line, firstWords):
			b.Reset()
			b.WriteString(line)
		case b.Len() > 0:
			b.WriteString(line)
			if strings.HasPrefix(line, endPrefix) {
				list = append(list, b.String())
				b.Reset()
			}
		}
	}
	return list
}

// TestFormatExamples reads the examples and writes them again.
func TestFormatExamples(t *testing.T) {
	list := examples(t)
	if len(list) != 2 {
		t.Fatalf("%d examples, want 2", len(list))
	}
	worked, _, err := readAll(strings.NewReader(list[0]), ReaderOptions{RequireCRC: true})
	if err != nil {
		t.Fatalf("%v\n%s", err, list[0])
	}
	again, err := writeAll(worked, WriterOptions{Props: []Property{{"diff-id", "sha256:9f2a"}}})
	if err != nil || again != list[0] {
		t.Errorf("written again: %v\n%s", err, again)
	}
	want := map[string]Entry{
		"etc/hostname.orig": {Type: File, Mode: 0o644, Time: Time{1700000000, 0}, Size: 4, Hardlink: "etc/hostname"},
		"bin":               {Type: Link, Mode: 0o777, Time: Time{1700000000, 500000000}, Link: "usr/bin"},
		"dev/null":          {Type: Char, Mode: 0o666, Time: Time{-1, 0}, Dev: Device{1, 3}},
		"my disk":           {Type: File, Mode: 0o600, Size: 1 << 20, Extents: []Extent{{0, 3}, {4096, 2}}},
		"empty":             {Type: File, Mode: 0o644, Xattrs: []Xattr{{"user.note", "hi"}}, Extra: &Keywords{{"x-origin", "demo"}}},
	}
	found := 0
	for _, g := range worked {
		w, ok := want[g.Path]
		if w.Path = g.Path; !ok {
			continue
		}
		if found++; !reflect.DeepEqual(g.Entry, w) {
			t.Errorf("read %+v, want %+v", g.Entry, w)
		}
	}
	if found != len(want) {
		t.Errorf("found %d of %d files", found, len(want))
	}

	layer, _, err := readAll(strings.NewReader(list[1]), ReaderOptions{})
	if err != nil || len(layer) != 3 {
		t.Fatalf("%v\n%s", err, list[1])
	}
	if !layer[0].IsWhiteout() || !layer[1].IsOpaque() || !layer[1].NoChange || !layer[2].IsLower() {
		t.Errorf("marks are not those that the text names: %+v", layer)
	}
}

// TestFormatWords finds every word and limit of the code in the text.
func TestFormatWords(t *testing.T) {
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, name := range []string{"type", "mode", "uid", "gid", "time", "size", "link", "device",
		"nlink", "hardlink", "below", "extents", "sha256digest", "xattr.NAME", "x-NAME"} {
		words = append(words, "`"+name+"=`")
	}
	words = append(words, "`lower`", "`nochange`")
	for _, name := range typeNames[1:] {
		words = append(words, "`"+name+"`")
	}
	known := 0
	for _, w := range words {
		if !strings.Contains(string(text), w) {
			t.Errorf("%s is not in FORMAT.md", w)
		}
		if wordIndex([]byte(strings.Trim(w, "`="))) >= 0 {
			known++
		}
	}
	if known < numWords {
		t.Errorf("the test knows %d of %d words", known, numWords)
	}
}
