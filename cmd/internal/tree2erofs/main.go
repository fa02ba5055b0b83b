// Package tree2erofs is the tool tree2erofs.
package tree2erofs

import (
	"errors"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/erofsflags"
	"ocipipe/lib/erofs"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

type tool struct {
	Inputs []string `arg:"" optional:"" name:"input" help:"Tree stream; without it, and for -, standard input. With --fsmeta: layer images from bottom to top."`

	Layer       bool      `group:"Kind of image" help:"One layer for overlayfs, with its whiteouts."`
	Fsmeta      bool      `group:"Kind of image" help:"Metadata alone, which merges layer images."`
	DeviceTable string    `enum:"yes,no" default:"yes" placeholder:"yes|no" group:"Kind of image" help:"With --fsmeta: list the layers."`
	BlockSize   int       `placeholder:"BYTES" group:"File system" help:"Size of a block, 512 to 65536 (default 4096)."`
	Label       string    `placeholder:"NAME" group:"File system" help:"Volume name, at most 15 bytes."`
	UUID        *cli.UUID `name:"uuid" placeholder:"UUID" group:"File system" help:"UUID (default: derived from the content)."`

	erofsflags.Compression
	cli.ImageContent
	cli.Output
	cli.Temp
	cli.TreeInput
	MaxHoleBytes int64 `default:"4G" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Maps and padding of sparse files."`
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Run writes the image.
func (t *tool) Run(env *cli.Env) error {
	if t.Fsmeta {
		return t.merge(env)
	}
	if len(t.Inputs) > 1 || t.DeviceTable == "no" {
		return cli.Usage("several inputs, and --device-table, are for --fsmeta")
	}
	path := "-"
	if len(t.Inputs) == 1 {
		path = t.Inputs[0]
	}
	if path == "-" && t.Hints == "-" {
		return cli.Usage("standard input is the tree, not --compress-hints")
	}
	compressed, err := t.Compression.Options(env)
	if err != nil {
		return err
	}
	in, err := env.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := env.Image(t.Output.Path, t.Temp.Dir)
	if err != nil {
		return err
	}
	opts := t.options(env)
	opts.Layer, opts.KeepZeros, opts.BlockSize, opts.MaxHoleBytes = t.Layer, t.KeepZeros, t.BlockSize, cli.OrNone(t.MaxHoleBytes)
	opts.SpoolDir = env.SpoolDir(t.Output.Path, t.Temp.Dir)
	opts.Compression = compressed
	w, err := erofs.NewWriter(env.Context, out, opts)
	if err != nil {
		return cli.Usage("%v", err)
	}
	src, err := t.TreeInput.Source(in)
	if err != nil {
		return cli.About(path, err)
	}
	if err := env.Copy(path, w, src); err != nil {
		return err
	}
	if err := erofsflags.Describe(env, out); err != nil {
		return err
	}
	return out.Commit()
}

// Advise names the kind of image that can hold an entry that this kind cannot.
func (t *tool) Advise(err error) string {
	switch {
	case errors.Is(err, erofs.ErrNeedsLayer):
		return "use --layer, or merge the layers first: tar2tree on the whole image"
	case errors.Is(err, erofsread.ErrNotAddressable):
		return "make the layer with tree2erofs --layer, or with mkfs.erofs -E^inline_data and without LZMA, tail packing and fragments"
	case errors.Is(err, erofs.ErrTooLong):
		return "merge fewer layers, or compress them: tree2erofs --layer --compress"
	}
	return ""
}

// options returns the options that all kinds of image have in common.
func (t *tool) options(env *cli.Env) erofs.Options {
	return erofs.Options{
		Label: t.Label, UUID: (*[16]byte)(t.UUID),
		Mtime: (*tree.Time)(t.Mtime), Clamp: (*tree.Time)(t.ClampMtime), BuildTime: env.Epoch,
		Check: t.Check, Warn: env.Warn, Counts: env.Counts(),
	}
}
