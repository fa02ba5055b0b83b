// mkext4upper makes the writable disk for an overlay: an ext4 file system with an
// empty /work, and /upper, that is empty too or holds a tree stream. It makes such
// a disk, or any ext4 file system, larger.
//
//	mkext4upper --size 4G -o upper.ext4
//	tar2tree --input layer < changes.tar | mkext4upper --tree - --size 4G -o upper.ext4
//	mkext4upper --grow upper.ext4 --size 16G
package main

import (
	"fmt"
	"io"
	"strconv"

	"ocipipe/lib/cli"
	"ocipipe/lib/ext4"
	"ocipipe/lib/tree"
)

type tool struct {
	Size int64  `required:"" type:"size" placeholder:"SIZE" help:"Size of the disk: 64M to 64T. Beside the stream there has to be room for overlayfs to work: 8M, and 4K for each directory."`
	Tree string `placeholder:"FILE" help:"Tree stream for /upper, of one layer or merged; - is standard input, which is not read without this. Whiteouts and opaque directories act as in a layer."`
	Grow string `placeholder:"FILE" help:"Make the file system in FILE larger, in place. A journal that was left by a crash is replayed first. It must not be mounted."`

	RootMode *mode  `placeholder:"MODE" help:"Permissions of /upper, which are those of the overlay's root, in octal."`
	RootFrom string `placeholder:"IMAGE" help:"Take the attributes of /upper from the root of an EROFS or ext4 image, that below it, where --tree does not state them; likewise those of directories that the stream only implies. Without this they are 0755, root."`

	Journal       *cli.SizeOrNone `placeholder:"SIZE|none" help:"Length of the journal, 4M or more; without this as mke2fs chooses by the size, up to 1G. It takes no space before it is used."`
	ReserveGrowth int64           `type:"size" placeholder:"SIZE" help:"To how much it can grow by the resize inode, which any kernel and resize2fs know; below 16T. Without this to 1T more or less."`
	Inodes        int64           `placeholder:"N" help:"How many files there can be, at least."`
	BytesPerInode int64           `type:"size" placeholder:"SIZE" help:"One file for so many bytes; without this as mke2fs chooses by the size."`
	Features      string          `placeholder:"LIST" help:"Features to leave out, or add, for old or odd readers, as mke2fs -O has them: ^64bit (then at most 16T), ^metadata_csum (no checksums), ^flex_bg (metadata spread over the disk), ^resize_inode (only a recent kernel grows it), ^dir_index (large directories are slow), ^huge_file (files up to 2T), ^dir_nlink (64998 directories in one), metadata_csum_seed (its UUID can be changed in use; Linux 4.4)."`
	Label         string          `placeholder:"NAME" help:"Volume name, at most 16 bytes."`
	UUID          *cli.UUID       `name:"uuid" placeholder:"UUID" help:"In place of one that derives from the content and the flags."`
	Mtime         *cli.Time       `placeholder:"TIME" help:"Time of every file: seconds since 1970, or RFC 3339."`
	ClampMtime    *cli.Time       `placeholder:"TIME" help:"Latest time of a file; later ones become this."`
	KeepZeros     bool            `help:"Keep blocks of zeros in files. Without this they become holes."`
	Check         bool            `help:"Read the finished disk back and compare all of it with the input."`
	RequireCRC    bool            `name:"require-crc" help:"Refuse a stream whose end line has no checksum."`

	cli.Output
	cli.Temp
	cli.Limits
}

func main() {
	cli.Main("mkext4upper", "Make the writable ext4 disk for an overlay: /work, and /upper with what a tree stream holds. "+
		"The disk is sparse: -o FILE, or an empty regular file, takes hardly more space than its content; "+
		"to a pipe all of it goes.", &tool{})
}

// Run makes the disk, or makes one larger.
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
	return out.Commit()
}

// write writes the disk, with the stream in, if there is one.
func (t *tool) write(env *cli.Env, out ext4.Output, in io.Reader, opts ext4.Options) error {
	w, err := ext4.NewWriter(out, opts)
	if err != nil {
		return err
	}
	if in == nil {
		return w.Close()
	}
	src, err := tree.NewReader(in, tree.ReaderOptions{RequireCRC: t.RequireCRC, NeedData: true})
	if err != nil {
		return cli.About(t.Tree, err)
	}
	return env.Copy(t.Tree, w, tree.Limit(src, t.Limits.Tree()))
}

func (t *tool) options(env *cli.Env) (opts ext4.Options, err error) {
	opts = ext4.Options{
		Upper: true, Size: t.Size, MaxSize: t.ReserveGrowth, Inodes: t.Inodes, BytesPerInode: t.BytesPerInode,
		Journal: (*int64)(t.Journal), Label: t.Label, UUID: (*[16]byte)(t.UUID),
		Mtime: (*tree.Time)(t.Mtime), Clamp: (*tree.Time)(t.ClampMtime), Epoch: env.Epoch,
		Mode: (*uint16)(t.RootMode), KeepZeros: t.KeepZeros, Check: t.Check, Warn: env.Warn,
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
		return fmt.Errorf("%q are no permissions such as 0755", text)
	}
	*m = mode(n)
	return nil
}
