package erofs

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"ocipipe/lib/erofs/z"
)

// DefaultPCluster is the size of clusters in bytes, if none is given.
const DefaultPCluster = 64 << 10

// Compression says how the contents of files are compressed. A file is stored as it is if that
// is not longer, or if it is sparse. The zero Level and PCluster are the usual ones.
type Compression struct {
	Method
	PCluster int64 // most bytes of a cluster: a power of two from a block to z.MaxEncoded

	// Encoded lists extents as records, and not block by block in an index: clusters need no
	// whole blocks then. The image needs Linux 6.15.
	Encoded bool

	// Hints choose other methods for some files: the first whose Pattern fits.
	Hints []Hint

	// Segment is how much of a file one worker compresses, in bytes: a multiple of the blocks,
	// and of two clusters. 0 stands for 4 MiB, or more for large clusters. The image depends on
	// it.
	Segment int64
	Workers int // at a time; at least 1. The image does not depend on it
}

// Method is a way to compress a file.
type Method struct {
	Algorithm z.Algorithm // z.Raw: do not compress
	Level     int         // 0: the usual one
}

// ParseMethod reads ALGORITHM[,LEVEL], where the algorithm is lz4, lz4hc, zstd, deflate or none.
func ParseMethod(s string) (Method, error) {
	name, level, leveled := strings.Cut(s, ",")
	i := slices.IndexFunc(named, func(n namedMethod) bool { return n.name == name })
	if i < 0 {
		return Method{}, fmt.Errorf("unknown algorithm %q: lz4, lz4hc, zstd, deflate and none are possible", name)
	}
	n := named[i]
	if !leveled {
		return n.Method, nil
	}
	if n.low == 0 {
		return Method{}, fmt.Errorf("%s has no levels", name)
	}
	k, err := strconv.Atoi(level)
	if err != nil || k < n.low || k > n.high {
		return Method{}, fmt.Errorf("level %q of %s: those from %d to %d are possible", level, name, n.low, n.high)
	}
	return Method{n.Algorithm, k}, nil
}

type namedMethod struct {
	name string
	Method
	low, high int // levels; 0: none
}

var named = []namedMethod{
	{"none", Method{Algorithm: z.Raw}, 0, 0},
	{"lz4", Method{z.LZ4, 1}, 0, 0},
	{"lz4hc", Method{z.LZ4, 9}, 2, 12},
	{"zstd", Method{z.Zstd, 3}, 1, 22},
	{"deflate", Method{z.Deflate, 6}, 1, 9},
}

// Hint is a method for the files whose paths fit a pattern.
type Hint struct {
	Pattern string // as of path.Match; without a slash it is for the last part of the path
	Method
}

// matches reports whether h is for the file at p.
func (h *Hint) matches(p string) bool {
	if strings.IndexByte(h.Pattern, '/') < 0 {
		p = path.Base(p)
	}
	ok, _ := path.Match(h.Pattern, p)
	return ok
}

// defaultSegment is the smallest usual segment: in a shorter one the end of the last extent
// costs more.
const defaultSegment = 4 << 20

// complete returns c with every value that has a usual one, for blocks of bs bytes.
func (c Compression) complete(bs int64) Compression {
	c.PCluster = cmp.Or(c.PCluster, max(DefaultPCluster, bs))
	c.Segment = cmp.Or(c.Segment, max(defaultSegment, 16*c.PCluster))
	c.Workers = max(c.Workers, 1)
	return c
}

// params returns the parameters for method m.
func (c *Compression) params(m Method, bs int64) z.Params {
	return z.Params{Algorithm: m.Algorithm, Level: cmp.Or(m.Level, z.UsualLevel(m.Algorithm)), PCluster: c.PCluster, BlockSize: bs, Exact: c.Encoded}
}

// validate returns an error if c, which is complete, is not valid for blocks of bs bytes.
func (c *Compression) validate(bs int64) error {
	methods := []Method{c.Method}
	for _, h := range c.Hints {
		if _, err := path.Match(h.Pattern, ""); err != nil {
			return fmt.Errorf("pattern %q: %w", h.Pattern, err)
		}
		methods = append(methods, h.Method)
	}
	for _, m := range methods {
		p := c.params(m, bs)
		if m.Algorithm == z.Raw {
			p.Algorithm, p.Level = z.LZ4, z.UsualLevel(z.LZ4)
		}
		if err := p.Validate(); err != nil {
			return err
		}
	}
	if unit := 2 * c.PCluster; c.Segment < unit || c.Segment%unit != 0 || c.Segment > maxSegment {
		return errors.New("segments are not a multiple of two clusters, or longer than the format allows")
	}
	return nil
}

const maxSegment = 64 << 20
