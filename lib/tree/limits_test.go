package tree

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strconv"
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
		which     LimitKind
	}{
		{Limits{Entries: 6}, "link", "entry or implied directory number 6, over the limit of 5", LimitEntries},
		{Limits{Depth: 3}, "a/b/c", "3 path components, over the limit of 2", LimitDepth},
		{Limits{FileSize: 1000}, `sparse\012`, "file of 1000 bytes, over the limit of 999", LimitFileSize},
		{Limits{TotalSize: 150}, `sparse\012`, "150 bytes of data up to here, over the limit of 149", LimitTotalSize},
		{Limits{XattrBytes: 22}, "a/b/c", "22 bytes of extended attributes, over the limit of 21", LimitXattrBytes},
		{Limits{TreeMemory: 6*NameCost + 96}, "link", "tree of 2496 bytes in memory up to here, over the limit of 2495", LimitTreeMemory},
	} {
		t.Run(string(c.which), func(t *testing.T) {
			if err := drain(Limit(clone(list), c.fits)); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			tight := c.fits
			v := reflect.ValueOf(&tight).Elem()
			for i := range v.NumField() {
				if f := v.Field(i); f.Int() > 0 {
					f.SetInt(f.Int() - 1)
				}
			}
			err := drain(Limit(clone(list), tight))
			var over *LimitError
			if !errors.As(err, &over) {
				t.Fatalf("over the limit: %v", err)
			}
			if err.Error() != c.path+": "+c.msg || over.Which != c.which || over.Path != strings.ReplaceAll(c.path, `\012`, "\n") {
				t.Errorf("error is %q, of %q and %q", err, over.Path, over.Which)
			}
		})
	}
}

// TestLimitDefaults has one thing too many for each default, which the zero Limits stand
// for, and none of which is too many where there is no limit.
func TestLimitDefaults(t *testing.T) {
	none := Limits{Entries: -1, Depth: -1, FileSize: -1, TotalSize: -1, XattrBytes: -1, TreeMemory: -1}
	value := strings.Repeat("v", MaxValue)
	for _, c := range []struct {
		which LimitKind
		add   func(m *Meter) error
	}{
		{LimitDepth, func(m *Meter) error { return m.Add("", &Entry{Path: strings.Repeat("a/", 2048) + "a", Type: Dir}) }},
		{LimitFileSize, func(m *Meter) error {
			return m.Add("", &Entry{Path: "a", Type: File, Size: 16<<40 + 1, Extents: []Extent{}})
		}},
		{LimitTotalSize, func(m *Meter) error { return m.Add("", &Entry{Path: "a", Type: File, Size: 1<<40 + 1}) }},
		{LimitXattrBytes, func(m *Meter) error {
			return m.Add("", &Entry{Path: "a", Type: Dir, Xattrs: []Xattr{{"user.a", value}, {"user.b", value}, {"user.c", value}}})
		}},
		{LimitTreeMemory, func(m *Meter) error { return m.Hold("a", 1, 1<<30-NameCost+1) }},
		{LimitEntries, func(m *Meter) error {
			m.entries = 20_000_000
			return m.Add("", &Entry{Path: "a", Type: Dir})
		}},
	} {
		for _, l := range []Limits{{}, DefaultLimits()} {
			var over *LimitError
			if err := c.add(NewMeter(l)); !errors.As(err, &over) || over.Which != c.which {
				t.Errorf("%s, %+v: %v", c.which, l, err)
			}
		}
		if err := c.add(NewMeter(none)); err != nil {
			t.Errorf("%s without a limit: %v", c.which, err)
		}
	}
}

// TestLimitTotalOverflow has sizes whose sum is over 63 bits.
func TestLimitTotalOverflow(t *testing.T) {
	huge := Entry{Path: "a", Type: File, Size: 1<<63 - 1}
	err := drain(Limit(&listSource{huge, huge, huge}, Limits{FileSize: -1, TotalSize: 1<<63 - 2}))
	if err == nil {
		t.Error("no error")
	}
	err = drain(Limit(&listSource{huge, huge, huge}, Limits{FileSize: -1, TotalSize: 1<<63 - 1}))
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
		names      int64
		text       int64
	}{
		{"", ".", 1, 1}, {".", "a", 1, 1}, {".", "a/b/c", 3, 5}, {"a", "a/b", 1, 1}, {"a", "a/b/c", 2, 3}, {"a/b", "a/b", 1, 1},
		{"a/b", "a/c", 1, 1}, {"a/b", "ab/c", 2, 4}, {"ab", "a/b", 2, 3}, {"a/b/c", "a", 1, 1}, {"x/y/z", "a/b", 2, 3},
	} {
		if names, text := newNames(c.prev, c.path); names != c.names || text != c.text {
			t.Errorf("newNames(%q, %q) = %d, %d, want %d, %d", c.prev, c.path, names, text, c.names, c.text)
		}
	}
}

// TestXattrsFitTheLine has as many extended attributes as the default lets through,
// with all else that a name may have but extents.
func TestXattrsFitTheLine(t *testing.T) {
	e := Entry{Path: strings.Repeat("\x01", MaxName), Type: File, Lower: &Lower{Targets: []string{"a"}, Else: true}}
	for i := range 3 {
		e.Xattrs = append(e.Xattrs, Xattr{"user." + strings.Repeat("\n", MaxName-6) + strconv.Itoa(i), strings.Repeat("v", MaxValue-2000)})
	}
	var limits Limits
	for range MaxTargets - 1 {
		e.Lower.Targets = append(e.Lower.Targets, strings.Repeat(strings.Repeat("\x01", MaxName)+"/", 15)+"a")
	}
	var stream bytes.Buffer
	w := NewWriter(&stream, WriterOptions{})
	if err := Copy(t.Context(), w, Limit(&listSource{{Path: ".", Type: Dir}, e}, limits)); err != nil {
		t.Fatal(err)
	}
	line := bytes.Split(stream.Bytes(), []byte("\n"))[2]
	xattrs := line[bytes.Index(line, []byte(" "+xattrPrefix)):]
	if got := xattrBytes(&e); got != int64(len(xattrs)) {
		t.Errorf("counted %d bytes, the stream has %d", got, len(xattrs))
	}
	limits.XattrBytes = int64(len(xattrs)) - 1
	var over *LimitError
	if err := drain(Limit(&listSource{e}, limits)); !errors.As(err, &over) || over.Which != LimitXattrBytes {
		t.Errorf("over the limit: %v", err)
	}
}

// TestMeter has two sources that only together are over each limit.
func TestMeter(t *testing.T) {
	list := listSource{{Path: ".", Type: Dir}, {Path: "a", Type: File, Size: 60}}
	for _, l := range []Limits{{Entries: 3}, {TotalSize: 100}, {TreeMemory: 3 * NameCost}} {
		m := NewMeter(l)
		if err := drain(m.Limit(clone(list))); err != nil {
			t.Errorf("%+v: %v", l, err)
		}
		if err := drain(m.Limit(clone(list))); !errors.As(err, new(*LimitError)) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}
