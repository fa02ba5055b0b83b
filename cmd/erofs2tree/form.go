package main

import (
	"fmt"

	"github.com/alecthomas/kong"

	"ocipipe/lib/tree"
)

// form is the flag --no-data, which may have a value.
type form tree.Data

// IsBool lets the flag stand alone.
func (*form) IsBool() bool { return true }

// Decode takes the value of the flag, if there is one.
func (f *form) Decode(ctx *kong.DecodeContext) error {
	*f = form(tree.None)
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	if v := fmt.Sprint(ctx.Scan.Pop().Value); v != "portable" {
		return fmt.Errorf("%q: the value is portable, or nothing", v)
	}
	*f = form(tree.NonePortable)
	return nil
}
