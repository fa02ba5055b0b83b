package reftest

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// bits is a stream of entries that forgets to skip, or to look at what it skips.
type bits struct {
	text         string
	left         int // of the content
	skips, looks bool
}

func (b *bits) next() (string, io.WriterTo, error) {
	if b.skips {
		rest := b.text[:b.left]
		if b.looks && strings.Contains(rest, "!") {
			return "", nil, errors.New("a bad byte")
		}
		b.text = b.text[b.left:]
	}
	if b.text == "" {
		return "", nil, io.EOF
	}
	entry := b.text[:1]
	b.text, b.left = b.text[1:], 2
	return entry, b, nil
}

func (b *bits) WriteTo(w io.Writer) (int64, error) {
	data := b.text[:min(b.left, len(b.text))]
	if strings.Contains(data, "!") {
		return 0, errors.New("a bad byte")
	}
	n, err := io.WriteString(w, data)
	b.text, b.left = b.text[n:], b.left-n
	return int64(n), err
}

func TestPartly(t *testing.T) {
	for _, c := range []struct {
		text         string
		skips, looks bool
		all          bool
		said         string
	}{
		{"a..b..c..", true, true, true, ""},
		{"a..b..c..", false, true, true, "want [\"a\" \"b\" \"c\"]"},
		{"a..b!.c..", true, true, true, ""},
		{"a..b!.c..", true, false, true, "accepted"},
		{"a..b!.c..", true, false, false, ""},
	} {
		fake := &fakeTB{}
		Partly(fake, c.all, func() (Next, error) { return (&bits{text: c.text, skips: c.skips, looks: c.looks}).next, nil })
		if c.said == "" && fake.ended != "" || !strings.Contains(fake.ended, c.said) {
			t.Errorf("%+v: %q", c, fake.ended)
		}
	}
}
