// Package tree2ext4 is the tool tree2ext4.
package tree2ext4

import (
	"errors"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/ext4flags"
	"ocipipe/lib/ext4"
	"ocipipe/lib/tree"
)

type tool struct {
	Input string `arg:"" optional:"" default:"-" help:"Tree stream; without it, and for -, standard input."`

	Size       int64           `type:"size" placeholder:"SIZE" group:"Size" help:"Size of the file system (default: by its content)."`
	FreeSpace  *cli.SizeOrNone `placeholder:"SIZE|none" group:"Size" help:"Room for more files (default: at least 512M)."`
	FreeInodes *int64          `placeholder:"N" group:"Size" help:"How many more files there can be."`
	Shrink     bool            `group:"Size" help:"The smallest size for the content."`
	MaxSize    int64           `type:"size" placeholder:"SIZE" group:"Size" help:"Size to which it can grow later (default 1T)."`

	Journal       *cli.SizeOrNone `placeholder:"SIZE|none" group:"File system" help:"Length of the journal (default: as mke2fs)."`
	Inodes        int64           `placeholder:"N" group:"File system" help:"How many files there can be in all, at least."`
	BytesPerInode int64           `type:"size" placeholder:"SIZE" group:"File system" help:"Room for one file in every SIZE bytes."`
	Features      string          `placeholder:"LIST" group:"File system" help:"Features to leave out or add, as in mke2fs -O: ^64bit, ^metadata_csum, ^resize_inode, ^dir_index, ^huge_file, ^dir_nlink, metadata_csum_seed (Linux 4.4)."`
	Label         string          `placeholder:"NAME" group:"File system" help:"Volume name, at most 16 bytes."`
	UUID          *cli.UUID       `name:"uuid" placeholder:"UUID" group:"File system" help:"UUID (default: derived from content and flags)."`

	cli.ImageContent
	cli.Output
	cli.Temp
	cli.TreeInput
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Run writes the file system.
func (t *tool) Run(env *cli.Env) error {
	opts, err := t.options(env)
	if err != nil {
		return cli.Usage("%v", err)
	}
	in, err := env.Open(t.Input)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := env.Image(t.Output.Path, t.Temp.Dir)
	if err != nil {
		return err
	}
	w, err := ext4.NewWriter(env.Context, out, opts)
	if err != nil {
		return err
	}
	src, err := t.TreeInput.Source(in)
	if err != nil {
		return cli.About(t.Input, err)
	}
	if err := env.Copy(t.Input, w, src); err != nil {
		return err
	}
	if err := ext4flags.Describe(env, out); err != nil {
		return err
	}
	return out.Commit()
}

// Advise implements cli.Adviser.
func (t *tool) Advise(err error) string {
	if errors.Is(err, ext4.ErrNeedsUpper) {
		return "merge the layers first: tar2tree on the whole image; or make an upper disk: mkext4upper --tree"
	}
	return ext4flags.Advise(err)
}

func (t *tool) options(env *cli.Env) (opts ext4.Options, err error) {
	opts = ext4.Options{
		Size: t.Size, FreeSpace: (*int64)(t.FreeSpace), FreeInodes: t.FreeInodes, Shrink: t.Shrink, MaxSize: t.MaxSize,
		Journal: (*int64)(t.Journal), Inodes: t.Inodes, BytesPerInode: t.BytesPerInode,
		Label: t.Label, UUID: (*[16]byte)(t.UUID),
		Mtime: (*tree.Time)(t.Mtime), Clamp: (*tree.Time)(t.ClampMtime), Epoch: env.Epoch,
		KeepZeros: t.KeepZeros, Check: t.Check, Warn: env.Warn, Counts: env.Counts(),
	}
	if opts.Features, err = ext4.ParseFeatures(t.Features); err != nil {
		return opts, err
	}
	return opts, opts.Validate()
}
