package tree

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// parts is a content that is written part by part.
type parts []string

func (list parts) WriteTo(w io.Writer) (total int64, err error) {
	for _, p := range list {
		n, err := io.WriteString(w, p)
		if total += int64(n); err != nil {
			return total, err
		}
	}
	return total, nil
}

func TestScatter(t *testing.T) {
	var got []string
	s := &Scatter{Put: func(off int64, p []byte) error {
		if string(p) == "!" {
			return errors.New("refused")
		}
		got = append(got, fmt.Sprintf("%d %s", off, p))
		return nil
	}}
	for _, c := range []struct {
		content Content
		size    int64
		extents []Extent
		want    []string
		err     string // part of it
	}{
		{parts{"abc", "", "de"}, 5, nil, []string{"0 abc", "3 de"}, ""},
		{parts{"abc", "de"}, 99, []Extent{{1, 1}, {10, 3}, {20, 1}}, []string{"1 a", "10 bc", "12 d", "20 e"}, ""},
		{nil, 99, []Extent{}, nil, ""},
		{nil, 2, nil, nil, "content ends 2 bytes early: unexpected EOF"},
		{parts{"ab"}, 99, []Extent{{1, 1}, {10, 3}, {20, 1}}, []string{"1 a", "10 b"}, "content ends 3 bytes early: unexpected EOF"},
		{parts{"abc"}, 2, nil, []string{"0 ab"}, "content is longer"},
		{parts{"a", "!"}, 2, nil, []string{"0 a"}, "refused"},
	} {
		got = nil
		err := s.Take(c.content, c.size, c.extents)
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%v into %v of %d: %q, %v; want %q, %q", c.content, c.extents, c.size, got, err, c.want, c.err)
		}
	}
}
