package cli

import (
	"cmp"
	"slices"

	"github.com/alecthomas/kong"
)

// Ordered is a flag that can be given several times, and whose place among other flags
// of this kind matters; see [InOrder].
type Ordered []Occurrence

// Occurrence is a flag with its value, as it was given once.
type Occurrence struct {
	Flag  string // its name, without hyphens
	Value string

	left int // of the command line behind it, which gets shorter with each flag
}

// Decode takes the value, which may be empty.
func (o *Ordered) Decode(ctx *kong.DecodeContext) error {
	value, err := popString(ctx)
	if err != nil {
		return err
	}
	*o = append(*o, Occurrence{ctx.Value.Name, value, ctx.Scan.Len()})
	return nil
}

// InOrder is what was given of several flags, in the order of the command line.
func InOrder(flags ...Ordered) []Occurrence {
	return slices.SortedFunc(slices.Values(slices.Concat(flags...)), func(a, b Occurrence) int {
		return cmp.Compare(b.left, a.left)
	})
}
