package z

import "fmt"

// levels of compression, and the usual one.
var levels = map[Algorithm]struct{ low, high, usual int }{
	LZ4:     {1, 12, 1},
	Deflate: {1, 9, 6},
	Zstd:    {1, 22, 3},
}

// CheckLevel returns an error if a cannot compress with that level.
func CheckLevel(a Algorithm, level int) error {
	l, ok := levels[a]
	switch {
	case !ok:
		return fmt.Errorf("%s: %w", a, ErrUnsupported)
	case level < l.low || level > l.high:
		return fmt.Errorf("level %d of %s: those from %d to %d are possible", level, a, l.low, l.high)
	}
	return nil
}

// UsualLevel is the level of a that is taken if none is given.
func UsualLevel(a Algorithm) int { return levels[a].usual }
