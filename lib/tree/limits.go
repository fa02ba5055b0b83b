package tree

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
)

// Limits bound what a hostile source can make a tool do. A zero is no limit; the
// tags are the flags of the tools, with defaults that real images never meet. Of an
// image they bound all layers together, but for what is of one entry.
type Limits struct {
	Entries    int64 `name:"max-entries" default:"20000000" placeholder:"N" group:"Limits on the input" help:"Entries and implied directories."`
	Depth      int64 `name:"max-depth" default:"2048" placeholder:"N" group:"Limits on the input" help:"Components of a path."`
	FileSize   int64 `name:"max-file-size" default:"16T" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Size of one file, with holes."`
	TotalSize  int64 `name:"max-total-size" default:"1T" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Data of all files, without holes."`
	XattrBytes int64 `name:"max-xattr-bytes" default:"256K" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Extended attributes of one entry."`
	TreeMemory int64 `name:"max-tree-memory" default:"1G" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Memory for the tree, without contents."`
}

// LimitError says which limit an entry exceeds and how it is raised.
type LimitError struct {
	Path  string
	What  string
	Limit int64
	Flag  string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %s, over the limit of %d", printable(e.Path), e.What, e.Limit)
}

// Hint names the flag that raises the limit.
func (e *LimitError) Hint() string { return "--" + e.Flag + " raises the limit" }

// CheckDepth is a [*LimitError] if path has more components than l allows. A source
// asks it as soon as it has a path, before it looks for what lies on the way.
func (l Limits) CheckDepth(path string) error {
	if n := int64(strings.Count(path, "/")) + 1; l.Depth > 0 && n > l.Depth {
		return &LimitError{Path: path, What: fmt.Sprintf("%d path components", n), Limit: l.Depth, Flag: "max-depth"}
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

// Meter adds up what the entries of sources take together, which may be read at the
// same time: the layers of an image.
type Meter struct {
	limits Limits

	mu      sync.Mutex
	entries int64
	total   int64
	memory  int64
}

// NewMeter is a Meter that stands at zero.
func NewMeter(l Limits) *Meter { return &Meter{limits: l} }

// Limits are those of m.
func (m *Meter) Limits() Limits { return m.limits }

// Limit passes on src's entries and fails at the first with which those of all sources
// exceed the limits of m.
func (m *Meter) Limit(src Source) Source { return &limiter{Source: src, meter: m} }

// NameCost is what a name, its inode and what a tool notes about them count in
// [Limits].TreeMemory, in bytes, besides all text.
const NameCost = 400

const sliceCost = 32 // of an extended attribute, or of another part of an entry

// Hold counts what a source keeps for path before it yields an entry of it, if it
// ever does: so many names, and bytes of text. It is a [*LimitError] that there is no
// more room.
func (m *Meter) Hold(path string, names, text int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.memory += names*NameCost + text
	return m.checkMemory(path)
}

func (m *Meter) checkMemory(path string) error {
	if got, limit := m.memory, m.limits.TreeMemory; limit > 0 && got > limit {
		return &LimitError{Path: path, What: fmt.Sprintf("tree of %d bytes in memory up to here", got), Limit: limit, Flag: "max-tree-memory"}
	}
	return nil
}

// Add counts e, which comes behind prev in its source, and is a [*LimitError] if it
// exceeds a limit.
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
		flag, what string
	}{
		{m.entries, m.limits.Entries, "max-entries", "entry or implied directory number %d"},
		{e.Size, m.limits.FileSize, "max-file-size", "file of %d bytes"},
		{m.total, m.limits.TotalSize, "max-total-size", "%d bytes of data up to here"},
		{xattrBytes(e), m.limits.XattrBytes, "max-xattr-bytes", "%d bytes of extended attributes"},
	} {
		if c.limit > 0 && c.got > c.limit {
			return &LimitError{Path: e.Path, What: fmt.Sprintf(c.what, c.got), Limit: c.limit, Flag: c.flag}
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

// xattrBytes is what the extended attributes of e take in its record of a stream: all
// that may go with them fits into a line with those that the limit lets through.
func xattrBytes(e *Entry) (n int64) {
	for _, x := range e.Xattrs {
		n += int64(len(" =") + len(xattrPrefix) + escapedLen(x.Name) + base64.StdEncoding.EncodedLen(len(x.Value)))
	}
	return n
}

// newNames is how many names path can make in a tree that has prev, and their bytes:
// its own and those of directories that it may imply. Paths in an order that jumps
// count directories again; a short input cannot make a large tree uncounted.
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
