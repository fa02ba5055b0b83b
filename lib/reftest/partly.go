package reftest

import (
	"errors"
	"io"
	"slices"
	"testing"
)

// Next is the next entry of what is read, in words, with its content, nil if it has
// none. It returns io.EOF at the end.
type Next func() (entry string, content io.WriterTo, err error)

var errEnough = errors.New("enough")

// half takes so many bytes.
type half int64

func (n *half) Write(p []byte) (int, error) {
	if int64(len(p)) > int64(*n) {
		taken := int(*n)
		*n = 0
		return taken, errEnough
	}
	*n -= half(len(p))
	return len(p), nil
}

// ways are how much of the content of entry i is read.
var ways = map[string]func(i int, content io.WriterTo) error{
	"no content":          func(int, io.WriterTo) error { return nil },
	"every other content": func(i int, content io.WriterTo) error { return some(i%2 == 0, 1<<62, content) },
	"the other contents":  func(i int, content io.WriterTo) error { return some(i%2 == 1, 1<<62, content) },
	"a byte of each":      func(_ int, content io.WriterTo) error { return some(true, 1, content) },
	"700 bytes of some":   func(i int, content io.WriterTo) error { return some(i%3 > 0, 700, content) },
}

func some(wanted bool, bytes half, content io.WriterTo) error {
	if !wanted {
		return nil
	}
	if _, err := content.WriteTo(&bytes); err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

// Partly fails t unless the entries are the same however much of their contents is
// read, in between which the reader has to skip. Where reading them all fails, it has
// to fail in each way if all is true, as for a stream that vouches for its contents.
func Partly(t testing.TB, all bool, open func() (Next, error)) {
	t.Helper()
	want, wantErr := read(open, func(_ int, content io.WriterTo) error { return some(true, 1<<62, content) })
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
