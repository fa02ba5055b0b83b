package reftest

import (
	"errors"
	"io"
	"slices"
	"testing"
)

// Next returns the next entry of a reader, in words, and its content, or nil if it has
// none. At the end it returns io.EOF.
type Next func() (entry string, content io.WriterTo, err error)

var errFull = errors.New("limit reached")

// limitedWriter accepts so many bytes, and then fails with errFull.
type limitedWriter int64

func (n *limitedWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > int64(*n) {
		taken := int(*n)
		*n = 0
		return taken, errFull
	}
	*n -= limitedWriter(len(p))
	return len(p), nil
}

// ways are the ways to read a part of the contents; i is the number of the entry.
var ways = map[string]func(i int, content io.WriterTo) error{
	"no content":          func(int, io.WriterTo) error { return nil },
	"every other content": func(i int, content io.WriterTo) error { return readPart(i%2 == 0, 1<<62, content) },
	"the other contents":  func(i int, content io.WriterTo) error { return readPart(i%2 == 1, 1<<62, content) },
	"a byte of each":      func(_ int, content io.WriterTo) error { return readPart(true, 1, content) },
	"700 bytes of some":   func(i int, content io.WriterTo) error { return readPart(i%3 > 0, 700, content) },
}

func readPart(wanted bool, limit limitedWriter, content io.WriterTo) error {
	if !wanted {
		return nil
	}
	if _, err := content.WriteTo(&limit); err != nil && !errors.Is(err, errFull) {
		return err
	}
	return nil
}

// Partly fails t unless the entries are the same however much of their contents is read, so
// that the reader has to skip the rest. If reading all contents fails and all is true, as
// for a stream with a checksum, reading a part must fail too.
func Partly(t testing.TB, all bool, open func() (Next, error)) {
	t.Helper()
	want, wantErr := read(open, func(_ int, content io.WriterTo) error { return readPart(true, 1<<62, content) })
	for way, how := range ways {
		got, err := read(open, how)
		switch {
		case wantErr == nil && (err != nil || !slices.Equal(got, want)):
			t.Errorf("%s: %q, %v, want %q", way, got, err, want)
		case wantErr != nil && all && err == nil:
			t.Errorf("%s: accepted, %q, want %v", way, got, wantErr)
		}
	}
}

func read(open func() (Next, error), how func(i int, content io.WriterTo) error) (entries []string, err error) {
	next, err := open()
	for i := 0; err == nil; i++ {
		var entry string
		var content io.WriterTo
		if entry, content, err = next(); err == nil {
			entries = append(entries, entry)
			if content != nil {
				err = how(i, content)
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	return entries, err
}
