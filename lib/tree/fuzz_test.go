package tree

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

// FuzzReader looks for streams that make the reader panic, take memory out of
// proportion, or accept what does not survive being written again.
func FuzzReader(f *testing.F) {
	_, _, text := sample(f)
	noData, err := writeAll([]got{
		{Entry: Entry{Path: "l", Type: Link, Link: `=\`, Nlink: 2}},
		{Entry: Entry{Path: "c", Type: Char, Dev: Device{1, 3}}},
	}, WriterOptions{Data: None})
	if err != nil {
		f.Fatal(err)
	}
	noCRC := text[:strings.LastIndex(text, " crc32=")] + "\n"
	for _, seed := range []string{text, noData, noCRC, head + end(0, 0), head + root + end(1, 0)} {
		if _, _, err := readAll(strings.NewReader(seed), ReaderOptions{}); err != nil {
			f.Fatalf("seed is not accepted: %v\n%s", err, seed)
		}
		partly(f, []byte(seed)) // as it is: mendEnd skips contents too
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		in = mendEnd(in)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		list, props, err := readAll(bytes.NewReader(in), ReaderOptions{})
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20+1000*uint64(len(in)) {
			t.Errorf("%d bytes allocated for %d of input", n, len(in))
		}
		partly(t, in)
		if err != nil {
			return
		}
		if bytes.HasPrefix(in, []byte(none)) {
			return // such a list leaves words out when it is written
		}
		again, err := writeAll(list, WriterOptions{Props: props})
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		back, p, err := readAll(strings.NewReader(again), ReaderOptions{RequireCRC: true})
		if err != nil {
			t.Fatalf("what was written is refused: %v\n%s", err, again)
		}
		if !reflect.DeepEqual(back, list) || !reflect.DeepEqual(p, props) {
			t.Errorf("another meaning:\n%+v\n%+v", list, back)
		}
	})
}

// partly sees that what is not read of the contents is skipped.
func partly(t testing.TB, in []byte) {
	reftest.Partly(t, true, func() (reftest.Next, error) {
		s, err := NewReader(bytes.NewReader(in), ReaderOptions{})
		if err != nil {
			return nil, err
		}
		return func() (string, io.WriterTo, error) {
			e, err := s.Next()
			if err != nil {
				return "", nil, err
			}
			shown := *e
			shown.Content = nil
			return fmt.Sprintf("%+v", shown), e.Content, nil
		}, nil
	})
}

// mendEnd gives in the end line that it needs, so that the fuzzer does not have to
// find counts and a CRC.
func mendEnd(in []byte) []byte {
	i := bytes.LastIndex(in, []byte("\n"+endPrefix))
	if i < 0 {
		return in
	}
	body := in[:i+1]
	s, err := NewReader(io.MultiReader(bytes.NewReader(body), strings.NewReader("#end records=x\n")), ReaderOptions{})
	if err != nil {
		return in
	}
	for err == nil {
		_, err = s.Next()
	}
	return []byte(sealed(string(body), int(s.records), int(s.bytes)))
}

// FuzzEscape is the round trip of names, in both directions.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "plain", "a b\\#*?[=\n\xff", `\141\040`, `\\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := appendEscaped(nil, s)
		if back, err := unescape(text); strings.Contains(s, "\x00") != (err != nil) || err == nil && back != s {
			t.Errorf("%q became %q, then %q, %v", s, text, back, err)
		}
		if name, err := unescape([]byte(s)); err == nil {
			again := appendEscaped(nil, name)
			if back, err := unescape(again); err != nil || back != name || len(again) > len(s) {
				t.Errorf("%q read from %q is written %q", name, s, again)
			}
		}
		var e Entry
		for _, form := range []Data{Inline, None, NonePortable} {
			if s == "" || len(s) > MaxPath || strings.Contains(s, "\x00") {
				continue
			}
			if err := parseLink(&e, appendLink(nil, s, form), form); err != nil || e.Link != s {
				t.Errorf("target %q became %q, %v", s, e.Link, err)
			}
		}
	})
}
