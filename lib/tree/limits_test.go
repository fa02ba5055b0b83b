package tree

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// listSource yields entries from memory.
type listSource []Entry

func (s *listSource) Next() (*Entry, error) {
	if len(*s) == 0 {
		return nil, io.EOF
	}
	e := (*s)[0]
	*s = (*s)[1:]
	return &e, nil
}
func (*listSource) Close() error { return nil }

func TestLimits(t *testing.T) {
	list := listSource{
		{Path: ".", Type: Dir},
		{Path: "a/b/c", Type: File, Size: 100, Xattrs: []Xattr{{"user.a", "1234"}}},
		{Path: "sparse\n", Type: File, Size: 1000, Extents: []Extent{{0, 10}, {500, 40}}},
		{Path: "link", Type: File, Size: 100, Hardlink: "a/b/c"},
	}
	for _, c := range []struct {
		fits      Limits
		path, msg string
		flag      string
	}{
		{Limits{Entries: 6}, "link", "entry or implied directory number 6, over the limit of 5", "max-entries"},
		{Limits{Depth: 3}, "a/b/c", "3 path components, over the limit of 2", "max-depth"},
		{Limits{FileSize: 1000}, `sparse\012`, "file of 1000 bytes, over the limit of 999", "max-file-size"},
		{Limits{TotalSize: 150}, `sparse\012`, "150 bytes of data up to here, over the limit of 149", "max-total-size"},
		{Limits{XattrBytes: 10}, "a/b/c", "10 bytes of extended attributes, over the limit of 9", "max-xattr-bytes"},
	} {
		t.Run(c.flag, func(t *testing.T) {
			if err := drain(Limit(clone(list), c.fits)); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			tight := c.fits
			v := reflect.ValueOf(&tight).Elem()
			for i := range v.NumField() {
				if f := v.Field(i); f.Int() > 0 {
					f.SetInt(f.Int() - 1)
					if name := v.Type().Field(i).Tag.Get("name"); name != c.flag {
						t.Errorf("the flag of the field is %s", name)
					}
				}
			}
			err := drain(Limit(clone(list), tight))
			var over *LimitError
			if !errors.As(err, &over) {
				t.Fatalf("over the limit: %v", err)
			}
			if err.Error() != c.path+": "+c.msg || !strings.HasPrefix(over.Hint(), "--"+c.flag+" ") {
				t.Errorf("error is %q, hint %q", err, over.Hint())
			}
		})
	}
	if err := drain(Limit(clone(list), Limits{})); err != nil {
		t.Errorf("without limits: %v", err)
	}
}

// TestLimitTotalOverflow has sizes whose sum is over 63 bits.
func TestLimitTotalOverflow(t *testing.T) {
	huge := Entry{Path: "a", Type: File, Size: 1<<63 - 1}
	err := drain(Limit(&listSource{huge, huge, huge}, Limits{TotalSize: 1<<63 - 2}))
	if err == nil {
		t.Error("no error")
	}
	err = drain(Limit(&listSource{huge, huge, huge}, Limits{TotalSize: 1<<63 - 1}))
	if err != nil {
		t.Error(err) // a total of 2^63 is over every limit that can be given, but must not wrap
	}
}

func clone(s listSource) *listSource {
	c := append(listSource{}, s...)
	return &c
}

func drain(s Source) error {
	for {
		if _, err := s.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestNewNames(t *testing.T) {
	for _, c := range []struct {
		prev, path string
		want       int64
	}{
		{"", ".", 1}, {".", "a", 1}, {".", "a/b/c", 3}, {"a", "a/b", 1}, {"a", "a/b/c", 2}, {"a/b", "a/b", 1},
		{"a/b", "a/c", 1}, {"a/b", "ab/c", 2}, {"ab", "a/b", 2}, {"a/b/c", "a", 1}, {"x/y/z", "a/b", 2},
	} {
		if got := newNames(c.prev, c.path); got != c.want {
			t.Errorf("newNames(%q, %q) = %d, want %d", c.prev, c.path, got, c.want)
		}
	}
}
