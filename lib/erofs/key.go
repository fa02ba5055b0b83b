package erofs

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"strconv"

	"ocipipe/lib/erofs/z"
)

// EncoderVersion is the version of all that compresses contents: this package, package z, and
// what that takes from other modules. It goes up when the bytes of any compressed file change;
// TestGoldenEncoder says when. Caches then do not mix the images of two encoders.
const EncoderVersion = 1

// Name returns the algorithm and the level of m in the words of ParseMethod. The level is 0 if
// the algorithm has none.
func (m Method) Name() (algorithm string, level int) {
	level = cmp.Or(m.Level, z.UsualLevel(m.Algorithm))
	for _, known := range methods {
		if known.Algorithm == m.Algorithm && (known.low == 0 && level == known.Level || known.low > 0 && known.low <= level && level <= known.high) {
			if known.low == 0 {
				level = 0
			}
			return known.name, level
		}
	}
	return m.Algorithm.String(), level
}

// Key names what c, which is valid, makes of contents in blocks of bs bytes: trees that are
// equal become the same bytes if the keys are equal. It begins with EncoderVersion, such as
// z1-zstd-3-64k, and has at most 55 characters, all of them letters a to z, digits or dashes.
// It is "" if c compresses nothing.
func (c *Compression) Key(bs int64) string {
	if c == nil || c.Algorithm == z.Raw && len(c.Hints) == 0 {
		return ""
	}
	full, usual := c.complete(bs), Compression{PCluster: c.PCluster}.complete(bs)
	algorithm, level := c.Method.Name()
	key := fmt.Sprintf("z%d-%s", EncoderVersion, algorithm)
	if level != 0 {
		key += "-" + strconv.Itoa(level)
	}
	key += "-" + sizeText(full.PCluster)
	if c.Encoded {
		key += "-encoded"
	}
	if full.Segment != usual.Segment {
		key += "-s" + sizeText(full.Segment)
	}
	if len(c.Hints) > 0 {
		key += "-h" + hintsSum(c.Hints)
	}
	return key
}

// sizeText returns a number of bytes, in KiB if they are whole.
func sizeText(n int64) string {
	if n%1024 == 0 {
		return strconv.FormatInt(n/1024, 10) + "k"
	}
	return strconv.FormatInt(n, 10)
}

// hintsSum returns the beginning of the SHA-256 of hints, in hex.
func hintsSum(hints []Hint) string {
	h := sha256.New()
	for _, hint := range hints {
		algorithm, level := hint.Method.Name()
		fmt.Fprintf(h, "%q %s,%d\n", hint.Pattern, algorithm, level)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}
