package cli

import "github.com/alecthomas/kong"

// Optional is a flag whose value may be left out: --flag or --flag=VALUE.
type Optional struct {
	Set   bool
	Value string // "" without a value
}

// Decode takes a value only after an equals sign.
func (o *Optional) Decode(ctx *kong.DecodeContext) error {
	o.Set = true
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		o.Value, _ = ctx.Scan.Pop().Value.(string)
	}
	return nil
}

// IsBool tells kong that the flag can stand alone.
func (o *Optional) IsBool() bool { return true }
