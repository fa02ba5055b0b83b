package tree

import (
	"fmt"
	"strings"
)

// Limits bound what a hostile source can make a tool do. A zero is no limit; the
// tags are the flags of the tools, with defaults that real images never meet.
type Limits struct {
	Entries    int64 `name:"max-entries" default:"20000000" placeholder:"N" group:"Limits on the input" help:"Entries, and directories that they imply."`
	Depth      int64 `name:"max-depth" default:"2048" placeholder:"N" group:"Limits on the input" help:"Components of a path."`
	FileSize   int64 `name:"max-file-size" default:"16T" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Size of one file, holes included."`
	TotalSize  int64 `name:"max-total-size" default:"1T" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Data of all files, holes not counted."`
	XattrBytes int64 `name:"max-xattr-bytes" default:"1M" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Names and values of one entry's extended attributes."`
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
func Limit(src Source, l Limits) Source {
	return &limiter{src, Meter{Limits: l}}
}

type limiter struct {
	Source
	meter Meter
}

func (l *limiter) Next() (*Entry, error) {
	e, err := l.Source.Next()
	if err == nil {
		err = l.meter.Add(e)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Meter adds up what entries take.
type Meter struct {
	Limits  Limits
	prev    string // path of the entry before
	entries int64
	total   int64
}

// Add counts e, and is a [*LimitError] if it exceeds a limit.
func (l *Meter) Add(e *Entry) error {
	l.entries += newNames(l.prev, e.Path)
	l.prev = e.Path
	data := e.DataSize()
	if data > 1<<63-1-l.total {
		data = 1<<63 - 1 - l.total
	}
	l.total += data
	xattrs := int64(0)
	for _, x := range e.Xattrs {
		xattrs += int64(len(x.Name) + len(x.Value))
	}
	for _, c := range []struct {
		got, limit int64
		flag, what string
	}{
		{l.entries, l.Limits.Entries, "max-entries", "entry or implied directory number %d"},
		{e.Size, l.Limits.FileSize, "max-file-size", "file of %d bytes"},
		{l.total, l.Limits.TotalSize, "max-total-size", "%d bytes of data up to here"},
		{xattrs, l.Limits.XattrBytes, "max-xattr-bytes", "%d bytes of extended attributes"},
	} {
		if c.limit > 0 && c.got > c.limit {
			return &LimitError{Path: e.Path, What: fmt.Sprintf(c.what, c.got), Limit: c.limit, Flag: c.flag}
		}
	}
	return l.Limits.CheckDepth(e.Path)
}

// newNames is how many names path can make in a tree that has prev: its own and
// those of directories that it may imply. Paths in an order that jumps count
// directories again; a short input cannot make a large tree uncounted.
func newNames(prev, path string) int64 {
	shared := 0 // up to behind a slash
	for i := 0; i < min(len(prev), len(path)) && prev[i] == path[i]; i++ {
		if path[i] == '/' {
			shared = i + 1
		}
	}
	if len(path) > len(prev) && path[len(prev)] == '/' && path[:len(prev)] == prev {
		shared = len(prev) + 1
	}
	return int64(strings.Count(path[shared:], "/")) + 1
}
