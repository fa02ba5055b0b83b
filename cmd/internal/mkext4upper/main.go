// Package mkext4upper is the tool mkext4upper.
package mkext4upper

import (
	"fmt"
	"io"
	"strconv"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/ext4flags"
	"ocipipe/lib/ext4"
	"ocipipe/lib/tree"
)

type tool struct {
	Size int64  `required:"" type:"size" placeholder:"SIZE" group:"Disk" help:"Size of the disk, 64M to 64T."`
	Tree string `placeholder:"FILE" group:"Disk" help:"Tree stream for /upper; - is standard input."`
	Grow string `placeholder:"FILE" group:"Disk" help:"Make the file system in FILE larger, in place."`

	RootMode *mode  `placeholder:"MODE" group:"Disk" help:"Permissions of /upper, such as 0755."`
	RootFrom string `placeholder:"IMAGE" group:"Disk" help:"Image whose root /upper takes its attributes from."`

	Journal       *cli.SizeOrNone `placeholder:"SIZE|none" group:"File system" help:"Length of the journal (default: as mke2fs)."`
	ReserveGrowth int64           `type:"size" placeholder:"SIZE" group:"File system" help:"Size to which it can grow later (default 1T)."`
	Inodes        int64           `placeholder:"N" group:"File system" help:"How many files there can be, at least."`
	BytesPerInode int64           `type:"size" placeholder:"SIZE" group:"File system" help:"Room for one file in every SIZE bytes."`
	Features      string          `placeholder:"LIST" group:"File system" help:"Features to leave out or add, as in mke2fs -O: ^64bit, ^metadata_csum, ^flex_bg, ^resize_inode, ^dir_index, ^huge_file, ^dir_nlink, metadata_csum_seed (Linux 4.4)."`
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

// Run makes a disk, or makes one larger.
func (t *tool) Run(env *cli.Env) error {
	if t.Grow != "" {
		return t.grow(env)
	}
	opts, err := t.options(env)
	if err != nil {
		return err
	}
	var in io.ReadCloser
	if t.Tree != "" {
		if in, err = env.Open(t.Tree); err != nil {
			return err
		}
		defer in.Close()
	}
	out, err := env.Image(t.Output.Path, t.Temp.Dir)
	if err != nil {
		return err
	}
	if err := t.write(env, out, in, opts); err != nil {
		return err
	}
	if err := ext4flags.Describe(env, out); err != nil {
		return err
	}
	return out.Commit()
}

// Advise implements cli.Adviser.
func (t *tool) Advise(err error) string { return ext4flags.Advise(err) }

// write writes the disk, with the stream in unless that is nil.
func (t *tool) write(env *cli.Env, out ext4.Output, in io.Reader, opts ext4.Options) error {
	w, err := ext4.NewWriter(env.Context, out, opts)
	if err != nil {
		return err
	}
	if in == nil {
		return w.Close()
	}
	src, err := t.TreeInput.Source(in)
	if err != nil {
		return cli.About(t.Tree, err)
	}
	return env.Copy(t.Tree, w, src)
}

func (t *tool) options(env *cli.Env) (opts ext4.Options, err error) {
	opts = ext4.Options{
		Upper: true, Size: t.Size, MaxSize: t.ReserveGrowth, Inodes: t.Inodes, BytesPerInode: t.BytesPerInode,
		Journal: (*int64)(t.Journal), Label: t.Label, UUID: (*[16]byte)(t.UUID),
		Mtime: (*tree.Time)(t.Mtime), Clamp: (*tree.Time)(t.ClampMtime), Epoch: env.Epoch,
		Mode: (*uint16)(t.RootMode), KeepZeros: t.KeepZeros, Check: t.Check, Warn: env.Warn, Counts: env.Counts(),
	}
	if opts.Features, err = ext4.ParseFeatures(t.Features); err == nil {
		err = opts.Validate()
	}
	if err != nil {
		return opts, cli.Usage("%v", err)
	}
	if t.RootFrom != "" {
		opts.Below, err = lookupIn(env, t.RootFrom)
	}
	return opts, err
}

// mode is a flag that holds permissions.
type mode uint16

// UnmarshalText parses the value of the flag.
func (m *mode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 16)
	if err != nil || n > 0o7777 {
		return fmt.Errorf("%q is not a mode such as 0755", text)
	}
	*m = mode(n)
	return nil
}
