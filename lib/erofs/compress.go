package erofs

import (
	"cmp"
	"errors"

	"ocipipe/lib/erofs/z"
	"ocipipe/lib/tree"
)

// DefaultPCluster is the size of clusters in bytes, if none is given. With every algorithm a
// kernel reads pieces of 4 KiB at random, and whole files, about as fast from clusters of 32,
// 64 and 128 KiB, and slower from those of 4 KiB and of 1 MiB. Debian packages take 2 to 3 %
// more in 32 KiB, and 1 to 2 % less in 128 KiB, from which random reads begin to be slower.
const DefaultPCluster = 64 << 10

// Compression says how the contents of files are compressed. A file is stored as it is if that
// is not longer, or if it is sparse. The zero Level and PCluster are the usual ones.
type Compression struct {
	Method
	PCluster int64 // most bytes of a cluster: a power of two from a block to z.MaxEncoded, see z.Encoding

	// Encoded lists extents as records, and not block by block in an index: clusters need no
	// whole blocks then. The image needs Linux 6.15.
	Encoded bool

	// Hints choose other methods for some files: the first whose Pattern fits.
	Hints []Hint

	// Segment is how much of a file one worker compresses, in bytes: a multiple of two clusters,
	// at most 64 MiB. 0 stands for 4 MiB, or more for large clusters. The image depends on it.
	Segment int64

	// Workers is how many compress at a time; 0 stands for 1, and more than MaxWorkers for that.
	// The image does not depend on it. However many there are, a Writer takes about 64 MiB more
	// memory than without compression, or six segments if they are longer than 8 MiB. Each
	// worker takes 40 MiB more with the levels of zstd from 10 on.
	Workers int
}

// MaxWorkers is how many workers an image has at most, so that the memory for what they hold is
// bounded on a large machine, too.
const MaxWorkers = 8

// defaultSegment is the smallest usual segment: in a shorter one the end of the last extent
// costs more.
const defaultSegment = 4 << 20

// complete returns c with every value that has a usual one, for blocks of bs bytes.
func (c Compression) complete(bs int64) Compression {
	c.PCluster = cmp.Or(c.PCluster, max(DefaultPCluster, bs))
	c.Segment = cmp.Or(c.Segment, max(defaultSegment, 16*c.PCluster))
	c.Workers = min(max(c.Workers, 1), MaxWorkers)
	return c
}

// params returns the parameters for method m.
func (c *Compression) params(m Method, bs int64) z.Encoding {
	return z.Encoding{Algorithm: m.Algorithm, Level: cmp.Or(m.Level, z.UsualLevel(m.Algorithm)), PCluster: c.PCluster, BlockSize: bs, Exact: c.Encoded}
}

// validate returns an error if c, which is complete, is not valid for blocks of bs bytes.
func (c *Compression) validate(bs int64) error {
	methods := []Method{c.Method}
	for _, h := range c.Hints {
		if err := tree.Pattern(h.Pattern).Check(); err != nil {
			return err
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
