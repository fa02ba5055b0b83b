package tree

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
)

// Limits bound what a hostile source can make a tool do. A field that is 0 stands for the
// value in [DefaultLimits], so the zero Limits are safe; a negative one means no limit.
// For an image, the limits that are not about one entry hold for all layers together.
type Limits struct {
	Entries    int64 // entries, and directories that they imply
	Depth      int64 // components of a path
	FileSize   int64 // bytes of one file, holes included
	TotalSize  int64 // bytes of data of all files, without holes
	XattrBytes int64 // bytes of the extended attributes of one entry, as a tree stream has them, in base64
	TreeMemory int64 // bytes of memory for a tree without its contents: all text, and NameCost for each name
}

// DefaultLimits returns limits that real images stay far below.
func DefaultLimits() Limits {
	return Limits{
		Entries: 20_000_000, Depth: 2048, FileSize: 16 << 40, TotalSize: 1 << 40,
		XattrBytes: 256 << 10, TreeMemory: 1 << 30,
	}
}

// orDefault returns l with the defaults in place of zeros.
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
	LimitHoleBytes   LimitKind = "hole bytes"   // bytes that an image takes for holes
)

// LimitError says that an entry exceeds a limit.
type LimitError struct {
	Path  string
	What  string // what exceeds the limit, in words
	Limit int64
	Which LimitKind
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %s, over the limit of %d", printable(e.Path), e.What, e.Limit)
}

// exceeds reports whether n is over limit, which is from orDefault.
func exceeds(n, limit int64) bool { return limit >= 0 && n > limit }

// CheckDepth returns a [*LimitError] if path has more components than l allows. A source
// calls it as soon as it has a path, before it resolves the path.
func (l Limits) CheckDepth(path string) error {
	return checkDepth(path, cmp.Or(l.Depth, DefaultLimits().Depth))
}

func checkDepth(path string, limit int64) error {
	if n := int64(strings.Count(path, "/")) + 1; exceeds(n, limit) {
		return &LimitError{Path: path, What: fmt.Sprintf("%d path components", n), Limit: limit, Which: LimitDepth}
	}
	return nil
}

// Limit returns a source of src's entries, which fails at the first entry that exceeds l.
func Limit(src Source, l Limits) Source { return NewMeter(l).Limit(src) }

type limiter struct {
	Source
	meter *Meter
	prev  string // path of the previous entry
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

// Meter counts the entries of several sources together, such as the layers of an image,
// against limits. The sources may be read at the same time.
type Meter struct {
	limits Limits

	mu      sync.Mutex
	entries int64
	total   int64
	memory  int64
}

// NewMeter returns a Meter that has counted nothing.
func NewMeter(l Limits) *Meter { return &Meter{limits: l.orDefault()} }

// Limits returns the limits of m, with defaults in place of zeros.
func (m *Meter) Limits() Limits { return m.limits }

// Limit returns a source of src's entries that counts them in m. It fails at the first entry
// with which the entries of all sources exceed the limits of m.
func (m *Meter) Limit(src Source) Source { return &limiter{Source: src, meter: m} }

// NameCost is how many bytes a name counts in [Limits].TreeMemory, besides its text: it
// covers the inode, and the notes of a tool about both.
const NameCost = 400

const sliceCost = 32 // of an extended attribute, or of another part of an entry

// Hold counts names, and bytes of text, that a source keeps in memory for path before it
// yields an entry, or without ever yielding one. It returns a [*LimitError] if that exceeds
// the limit.
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

// Add counts e. prev is the path of the previous entry of its source. Add returns a
// [*LimitError] if e exceeds a limit.
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
	if err := checkDepth(e.Path, m.limits.Depth); err != nil {
		return err
	}
	return m.checkMemory(e.Path)
}

// detail is how many bytes of memory e takes besides its name.
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

// xattrBytes is how many bytes of a record the extended attributes of e take. At the default
// limit, the longest record still fits into a line.
func xattrBytes(e *Entry) (n int64) {
	for _, x := range e.Xattrs {
		n += int64(len(" =") + len(xattrPrefix) + escapedLen(x.Name) + base64.StdEncoding.EncodedLen(len(x.Value)))
	}
	return n
}

// newNames returns how many names path adds to a tree that has prev, and their bytes: the
// last name, and directories that path may imply. If the paths of a source are not in
// canonical order, directories may be counted more than once, but none is missed.
func newNames(prev, path string) (names, text int64) {
	shared := 0 // length of the directories that path and prev share, with a slash at the end
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
