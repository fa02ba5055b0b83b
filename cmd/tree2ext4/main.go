// tree2ext4 reads a tree stream and writes an ext4 root file system, in one pass.
//
//	oci-fetch IMAGE | tar2tree | tree2ext4 --free-space 1G -o rootfs.ext4
package main

import (
	"errors"

	"ocipipe/lib/cli"
	"ocipipe/lib/ext4"
	"ocipipe/lib/tree"
)

type tool struct {
	Input string `arg:"" optional:"" default:"-" help:"Tree stream; - is standard input, and so is none."`

	Size       int64           `type:"size" placeholder:"SIZE" help:"Size of the file system. Without this it follows from the content."`
	FreeSpace  *cli.SizeOrNone `placeholder:"SIZE|none" help:"Room for more files; without this 512M, or a quarter of what is in use if that is more. It takes no space in a sparse file."`
	FreeInodes *int64          `placeholder:"N" help:"How many more files there can be; without this one for 16K of free space, or of the size as mke2fs chooses."`
	Shrink     bool            `help:"The smallest size for the content, with no room for more."`
	MaxSize    int64           `type:"size" placeholder:"SIZE" help:"To how much it can grow by the resize inode, which any kernel and resize2fs know. Without this to 1T; more with --size above that."`

	Journal       *cli.SizeOrNone `placeholder:"SIZE|none" help:"Length of the journal, 4M or more; without this as mke2fs chooses by the size, up to 1G. It takes no space before it is used."`
	Inodes        int64           `placeholder:"N" help:"How many files there can be in all, at least."`
	BytesPerInode int64           `type:"size" placeholder:"SIZE" help:"One file for so many bytes of the size, or of the free space."`
	Features      string          `placeholder:"LIST" help:"Features to leave out, or add, for old or odd readers, as mke2fs -O has them: ^64bit (then at most 16T), ^metadata_csum (no checksums), ^resize_inode (only a recent kernel grows it), ^dir_index (large directories are slow), ^huge_file (files up to 2T), ^dir_nlink (64998 directories in one), metadata_csum_seed (its UUID can be changed in use; Linux 4.4). It always has flex_bg."`
	Label         string          `placeholder:"NAME" help:"Volume name, at most 16 bytes."`
	UUID          *cli.UUID       `name:"uuid" placeholder:"UUID" help:"In place of one that derives from the content and the flags."`
	Mtime         *cli.Time       `placeholder:"TIME" help:"Time of every file: seconds since 1970, or RFC 3339."`
	ClampMtime    *cli.Time       `placeholder:"TIME" help:"Latest time of a file; later ones become this."`
	KeepZeros     bool            `help:"Keep blocks of zeros in files. Without this they become holes."`
	Check         bool            `help:"Read the finished file system back and compare all of it with the input."`
	RequireCRC    bool            `name:"require-crc" help:"Refuse a stream whose end line has no checksum."`

	cli.Output
	cli.Temp
	cli.Limits
}

func main() {
	cli.Main("tree2ext4", "Write a tree stream as an ext4 root file system. "+
		"It is written at random: in place to -o FILE or an empty regular file, "+
		"to a pipe once it is complete.", &tool{})
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
	w, err := ext4.NewWriter(out, opts)
	if err != nil {
		return err
	}
	src, err := tree.NewReader(in, tree.ReaderOptions{RequireCRC: t.RequireCRC, NeedData: true})
	if err != nil {
		return cli.About(t.Input, err)
	}
	err = env.Copy(t.Input, w, tree.Limit(src, t.Limits.Tree()))
	if errors.Is(err, ext4.ErrNeedsUpper) {
		return cli.Hint(err, "merge the layers first: tar2tree on the whole image; or make an upper disk: mkext4upper --tree")
	}
	if err != nil {
		return err
	}
	return out.Commit()
}

func (t *tool) options(env *cli.Env) (opts ext4.Options, err error) {
	opts = ext4.Options{
		Size: t.Size, FreeSpace: (*int64)(t.FreeSpace), FreeInodes: t.FreeInodes, Shrink: t.Shrink, MaxSize: t.MaxSize,
		Journal: (*int64)(t.Journal), Inodes: t.Inodes, BytesPerInode: t.BytesPerInode,
		Label: t.Label, UUID: (*[16]byte)(t.UUID),
		Mtime: (*tree.Time)(t.Mtime), Clamp: (*tree.Time)(t.ClampMtime), Epoch: env.Epoch,
		KeepZeros: t.KeepZeros, Check: t.Check, Warn: env.Warn,
	}
	if opts.Features, err = ext4.ParseFeatures(t.Features); err != nil {
		return opts, err
	}
	return opts, opts.Validate()
}
