package tree

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
)

// Limits bound what a hostile source can make a tool do. A field that is 0 stands for
// that of [DefaultLimits], so that the zero Limits are safe; one that is negative is no
// limit. Of an image they bound all layers together, but for what is of one entry.
type Limits struct {
	Entries    int64 // entries, and directories that they imply
	Depth      int64 // components of a path
	FileSize   int64 // bytes of one file, holes included
	TotalSize  int64 // bytes of data of all files, holes not counted
	XattrBytes int64 // extended attributes of one entry, as a tree stream has them, in base64
	TreeMemory int64 // bytes of memory for a tree without its contents: all text, and NameCost for each name
}

// DefaultLimits returns limits that real images stay far below.
func DefaultLimits() Limits {
	return Limits{
		Entries: 20_000_000, Depth: 2048, FileSize: 16 << 40, TotalSize: 1 << 40,
		XattrBytes: 256 << 10, TreeMemory: 1 << 30,
	}
}

// orDefault is l with the defaults in place of zeros.
func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	return Limits{
		Entries: cmp.Or(l.Entries, d.Entries), Depth: cmp.Or(l.Depth, d.Depth),
		FileSize: cmp.Or(l.FileSize, d.FileSize), TotalSize: cmp.Or(l.TotalSize, d.TotalSize),
		XattrBytes: cmp.Or(l.XattrBytes, d.XattrBytes), TreeMemory: cmp.Or(l.TreeMemory, d.TreeMemory),
	}
}

// LimitKind names a limit.
type LimitKind string

// The fields of Limits, and the limits of sinks.
const (
	LimitEntries    LimitKind = "entries"
	LimitDepth      LimitKind = "depth"
	LimitFileSize   LimitKind = "file size"
	LimitTotalSize  LimitKind = "total size"
	LimitXattrBytes LimitKind = "xattr bytes"
	LimitTreeMemory LimitKind = "tree memory"

	LimitDigestHoles LimitKind = "digest holes" // WriterOptions.MaxHoles
	LimitHoleBytes   LimitKind = "hole bytes"   // what an image takes for holes
)

// LimitError says which limit an entry exceeds.
type LimitError struct {
	Path  string
	What  string // what there was, in words
	Limit int64
	Which LimitKind
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %s, over the limit of %d", printable(e.Path), e.What, e.Limit)
}

// exceeds reports whether n is over a limit that orDefault has returned.
func exceeds(n, limit int64) bool { return limit >= 0 && n > limit }

// CheckDepth returns a [*LimitError] if path has more components than l allows. A source
// asks as soon as it has a path, before it looks for what lies on the way.
func (l Limits) CheckDepth(path string) error {
	limit := l.orDefault().Depth
	if n := int64(strings.Count(path, "/")) + 1; exceeds(n, limit) {
		return &LimitError{Path: path, What: fmt.Sprintf("%d path components", n), Limit: limit, Which: LimitDepth}
	}
	return nil
}

// Limit passes on src's entries and fails at the first that exceeds l.
func Limit(src Source, l Limits) Source { return NewMeter(l).Limit(src) }

type limiter struct {
	Source
	meter *Meter
	prev  string // path of the entry before
}

func (l *limiter) Next() (*Entry, error) {
	e, err := l.Source.Next()
	if err == nil {
		err = l.meter.Add(l.prev, e)
	}
	if err != nil {
		return nil, err
	}
	l.prev = e.Path
	return e, nil
}

// Meter adds up what the entries of several sources take together, such as the layers of
// an image. The sources may be read at the same time.
type Meter struct {
	limits Limits

	mu      sync.Mutex
	entries int64
	total   int64
	memory  int64
}

// NewMeter is a Meter that stands at zero.
func NewMeter(l Limits) *Meter { return &Meter{limits: l.orDefault()} }

// Limits are those of m, without zeros.
func (m *Meter) Limits() Limits { return m.limits }

// Limit passes on src's entries and fails at the first with which those of all sources
// exceed the limits of m.
func (m *Meter) Limit(src Source) Source { return &limiter{Source: src, meter: m} }

// NameCost is how many bytes a name counts in [Limits].TreeMemory, besides its text: for
// its inode and for what a tool notes about both.
const NameCost = 400

const sliceCost = 32 // of an extended attribute, or of another part of an entry

// Hold counts what a source keeps for path before it yields an entry of it, if it
// ever does: a number of names, and bytes of text. It returns a [*LimitError] if that is
// over the limit.
func (m *Meter) Hold(path string, names, text int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.memory += names*NameCost + text
	return m.checkMemory(path)
}

func (m *Meter) checkMemory(path string) error {
	if got, limit := m.memory, m.limits.TreeMemory; exceeds(got, limit) {
		return &LimitError{Path: path, What: fmt.Sprintf("tree of %d bytes in memory up to here", got), Limit: limit, Which: LimitTreeMemory}
	}
	return nil
}

// Add counts e, which follows the path prev in its source. It returns a [*LimitError] if
// e exceeds a limit.
func (m *Meter) Add(prev string, e *Entry) error {
	names, text := newNames(prev, e.Path)
	data := e.DataSize()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries += names
	m.total += min(data, 1<<63-1-m.total)
	m.memory += names*NameCost + text + detail(e)
	for _, c := range []struct {
		got, limit int64
		which      LimitKind
		what       string
	}{
		{m.entries, m.limits.Entries, LimitEntries, "entry or implied directory number %d"},
		{e.Size, m.limits.FileSize, LimitFileSize, "file of %d bytes"},
		{m.total, m.limits.TotalSize, LimitTotalSize, "%d bytes of data up to here"},
		{xattrBytes(e), m.limits.XattrBytes, LimitXattrBytes, "%d bytes of extended attributes"},
	} {
		if exceeds(c.got, c.limit) {
			return &LimitError{Path: e.Path, What: fmt.Sprintf(c.what, c.got), Limit: c.limit, Which: c.which}
		}
	}
	if err := m.limits.CheckDepth(e.Path); err != nil {
		return err
	}
	return m.checkMemory(e.Path)
}

// detail is what e takes besides its name.
func detail(e *Entry) int64 {
	n := len(e.Link) + len(e.Hardlink) + sliceCost*(len(e.Xattrs)+len(e.Extra.list())) + sliceCost/2*len(e.Extents)
	for _, x := range e.Xattrs {
		n += len(x.Name) + len(x.Value)
	}
	for _, x := range e.Extra.list() {
		n += len(x.Name) + len(x.Value)
	}
	if e.Lower != nil {
		for _, target := range e.Lower.Targets {
			n += sliceCost + len(target)
		}
	}
	return int64(n)
}

// xattrBytes is how many bytes of a record the extended attributes of e take. With the
// default limit the longest record fits into a line.
func xattrBytes(e *Entry) (n int64) {
	for _, x := range e.Xattrs {
		n += int64(len(" =") + len(xattrPrefix) + escapedLen(x.Name) + base64.StdEncoding.EncodedLen(len(x.Value)))
	}
	return n
}

// newNames returns how many names path adds to a tree that has prev, and their bytes:
// its own and those of directories that it may imply. If paths come in another order,
// directories may be counted more than once, but never too few.
func newNames(prev, path string) (names, text int64) {
	shared := 0 // up to behind a slash
	for i := 0; i < min(len(prev), len(path)) && prev[i] == path[i]; i++ {
		if path[i] == '/' {
			shared = i + 1
		}
	}
	if len(path) > len(prev) && path[len(prev)] == '/' && path[:len(prev)] == prev {
		shared = len(prev) + 1
	}
	return int64(strings.Count(path[shared:], "/")) + 1, int64(len(path) - shared)
}
