package list

import (
	"bufio"
	"context"
	"io"
	"strconv"

	"ocipipe/lib/tree"
)

// TotalOptions are for Totals.
type TotalOptions struct {
	Dir    string // only this path and what is below it; "" is all
	Depth  int    // levels of directories below Dir to write; 0 is Dir alone
	Bytes  bool   // sizes in bytes, not rounded
	Stored Stored // adds a column; nil adds none
}

// Totals writes, under a line of headings, one line for each directory of src down to a depth,
// with the sums of all that is below it: the sizes of files, what they take where they are
// stored, and the number of names. A file with several names counts where its first name is. A
// directory comes before those in it, and these in byte order.
//
// It takes memory for these directories alone. If ctx is done, it returns its cause. It is an
// error if Dir is not in src.
func Totals(ctx context.Context, w io.Writer, src tree.Source, opts TotalOptions) error {
	dir := clean(opts.Dir)
	var counted places
	err := each(ctx, src, dir, func(e *tree.Entry) error {
		u, err := usageOf(e, opts.Stored)
		if err == nil {
			counted.dir(upTo(e, dir, opts.Depth)).own.add(u)
		}
		return err
	})
	if err != nil {
		return err
	}
	counted.root.sum()
	out := bufio.NewWriter(w)
	t := totals{out: out, opts: opts, dir: dir}
	t.heading()
	t.write(&counted.root)
	return out.Flush()
}

// upTo is the path, relative to dir, of the directory that e counts in: itself, if it is one,
// or its parent, but no more than depth levels down.
func upTo(e *tree.Entry, dir string, depth int) string {
	path := e.Path
	if path == dir {
		return "."
	}
	if dir != "." {
		path = path[len(dir)+1:]
	}
	if e.Type != tree.Dir {
		path, _ = split(path)
	}
	return firstNames(path, depth)
}

type totals struct {
	out  *bufio.Writer
	opts TotalOptions
	dir  string
}

func (t *totals) heading() {
	line := appendRight(nil, figureWidth(t.opts.Bytes)-1, "size")
	if t.opts.Stored != nil {
		line = appendRight(line, figureWidth(t.opts.Bytes), "stored")
	}
	t.out.Write(append(appendRight(line, figureWidth(false), "names"), " path\n"...))
}

// write writes the lines of p and the directories in it. The writer keeps its first error.
func (t *totals) write(p *place) {
	line := appendRight(nil, figureWidth(t.opts.Bytes)-1, figure(p.total.size, t.opts.Bytes))
	if t.opts.Stored != nil {
		line = appendRight(line, figureWidth(t.opts.Bytes), figure(p.total.stored, t.opts.Bytes))
	}
	line = appendRight(line, figureWidth(false), strconv.FormatInt(p.total.entries, 10))
	line = append(append(line, ' '), Path(joined(t.dir, p.path()))...)
	t.out.Write(append(line, '\n'))
	for _, c := range p.children() {
		t.write(c)
	}
}

// joined is the path, relative to dir, below the root.
func joined(dir, path string) string {
	switch {
	case dir == ".":
		return path
	case path == ".":
		return dir
	}
	return dir + "/" + path
}

// firstNames is the first n components of path.
func firstNames(path string, n int) string {
	if n <= 0 {
		return "."
	}
	for i := range len(path) {
		if path[i] == '/' {
			if n--; n == 0 {
				return path[:i]
			}
		}
	}
	return path
}

// figure is n as people read it: up to four digits, rounded, and K, M, G, T, P or E for multiples of 1024.
func figure(n int64, exact bool) string {
	if exact || n < 1024 {
		return strconv.FormatInt(n, 10)
	}
	units := "KMGTPE"
	value := float64(n) / 1024
	for value > 1023.9 && len(units) > 1 {
		value, units = value/1024, units[1:]
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + units[:1]
}

// figureWidth is the width of a column of figures.
func figureWidth(exact bool) int {
	if exact {
		return 14
	}
	return 8
}
