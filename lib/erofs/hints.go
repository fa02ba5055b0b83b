package erofs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"ocipipe/lib/erofs/z"
)

// Method is a way to compress a file.
type Method struct {
	Algorithm z.Algorithm // z.Raw: do not compress
	Level     int         // 0: the usual one
}

// methods are the names of algorithms, with their usual levels. The levels of lz4hc are those
// of LZ4 from 2 on.
var methods = []struct {
	name string
	Method
	low, high int // levels; 0: none
}{
	{"none", Method{Algorithm: z.Raw}, 0, 0},
	{"lz4", Method{z.LZ4, 1}, 0, 0},
	{"lz4hc", Method{z.LZ4, 9}, 2, 12},
	{"zstd", Method{z.Zstd, 3}, 1, 22},
	{"deflate", Method{z.Deflate, 6}, 1, 9},
}

// ParseMethod reads ALGORITHM[,LEVEL], where the algorithm is lz4, lz4hc, zstd, deflate or none.
// Only lz4hc (2 to 12), zstd (1 to 22) and deflate (1 to 9) have levels.
func ParseMethod(s string) (Method, error) {
	name, level, leveled := strings.Cut(s, ",")
	for _, m := range methods {
		switch {
		case m.name != name:
			continue
		case !leveled:
			return m.Method, nil
		case m.low == 0:
			return Method{}, fmt.Errorf("%q: %s has no levels", s, name)
		}
		n, err := strconv.Atoi(level)
		if err != nil || n < m.low || n > m.high {
			return Method{}, fmt.Errorf("%q: the levels of %s are %d to %d", s, name, m.low, m.high)
		}
		return Method{m.Algorithm, n}, nil
	}
	return Method{}, fmt.Errorf("%q is not an algorithm: lz4, lz4hc, zstd, deflate or none", name)
}

// Hint is a method for the files whose paths fit a pattern.
type Hint struct {
	// Pattern is as for path.Match, and is for a file, or for all files below a directory. If
	// it has a slash, it is for the path from the root on, otherwise for any part of that.
	Pattern string
	Method
}

// Limits that are more than anybody writes.
const (
	maxHints    = 10000
	maxHintLine = bufio.MaxScanTokenSize - 1 // bytes
)

// ParseHints reads lines of a pattern and a method, separated by blanks. Empty lines, and those
// that begin with #, are ignored. A pattern may hold blanks itself. Errors about what it reads
// begin with the number of the line.
func ParseHints(r io.Reader) ([]Hint, error) {
	var hints []Hint
	in := bufio.NewScanner(r)
	n := 0
	for in.Scan() {
		n++
		line := strings.TrimSpace(in.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		h, err := parseHint(line)
		if err == nil && len(hints) == maxHints {
			err = fmt.Errorf("more than %d hints", maxHints)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		hints = append(hints, h)
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d: longer than %d bytes", n+1, maxHintLine)
	}
	return hints, in.Err()
}

func parseHint(line string) (h Hint, err error) {
	i := strings.LastIndexAny(line, " \t")
	if i < 0 {
		return h, fmt.Errorf("%q is not a pattern and an algorithm", line)
	}
	h.Pattern = strings.TrimPrefix(strings.TrimSpace(line[:i]), "./")
	if h.Method, err = ParseMethod(line[i+1:]); err != nil {
		return h, err
	}
	return h, h.check()
}

// check returns an error if the pattern is malformed, or fits no path.
func (h *Hint) check() error {
	pattern := strings.Trim(h.Pattern, "/") // what is compared
	if pattern == "" {
		return fmt.Errorf("pattern %q has no name", h.Pattern)
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("pattern %q: %w", h.Pattern, err)
	}
	return nil
}

// matches reports whether h is for the file at p.
func (h *Hint) matches(p string) bool {
	pattern, rooted := h.Pattern, strings.IndexByte(h.Pattern, '/') >= 0
	pattern = strings.Trim(pattern, "/")
	if !rooted {
		for part := range strings.SplitSeq(p, "/") {
			if fits(pattern, part) {
				return true
			}
		}
		return false
	}
	for i := range p {
		if p[i] == '/' && fits(pattern, p[:i]) {
			return true
		}
	}
	return fits(pattern, p)
}

// fits is path.Match. It looks at both ends first, since most names do not fit most patterns.
func fits(pattern, name string) bool {
	if pattern != "" && name != "" {
		first, last := pattern[0], pattern[len(pattern)-1]
		switch {
		case first != name[0] && strings.IndexByte(`*?[\`, first) < 0, last != name[len(name)-1] && strings.IndexByte(`*?]`, last) < 0:
			return false
		}
	}
	ok, _ := path.Match(pattern, name)
	return ok
}
