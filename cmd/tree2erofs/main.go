// tree2erofs reads a tree stream and writes an EROFS image: of a whole tree, or
// with --layer of one layer, its whiteouts kept.
//
//	oci-fetch oci:DIR:TAG | tar2tree | tree2erofs > rootfs.erofs
package main

import (
	"errors"

	"ocipipe/lib/cli"
	"ocipipe/lib/erofs"
	"ocipipe/lib/tree"
)

type tool struct {
	Input string `arg:"" optional:"" default:"-" help:"Tree stream; - is standard input."`

	Layer      bool      `help:"Keep whiteouts and opaque directories for overlayfs, and put every file into whole blocks."`
	BlockSize  int       `default:"4096" placeholder:"BYTES" help:"512 to 65536. Linux mounts 4096 since 5.15, less since 6.4, more only with pages as large."`
	Label      string    `placeholder:"NAME" help:"Volume name, at most 15 bytes."`
	UUID       *uuid     `name:"uuid" placeholder:"UUID" help:"In place of one that derives from the content."`
	Mtime      *cli.Time `placeholder:"TIME" help:"Time of every file: seconds since 1970, or RFC 3339."`
	ClampMtime *cli.Time `placeholder:"TIME" help:"Latest time of a file; later ones become this."`
	Check      bool      `help:"Read the finished image back and compare all of it with the input."`
	RequireCRC bool      `name:"require-crc" help:"Refuse a stream whose end line has no checksum."`

	cli.Output
	cli.Temp
	tree.Limits
}

func main() {
	cli.Main("tree2erofs", "Write a tree stream as an EROFS image. "+
		"The image is written at random: in place to -o FILE or an empty regular file, "+
		"to a pipe once it is complete.", &tool{})
}

// Run writes the image.
func (t *tool) Run(env *cli.Env) error {
	in, err := env.Open(t.Input)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := env.Image(t.Output.Path, t.Temp.Dir)
	if err != nil {
		return err
	}
	w, err := erofs.NewWriter(out, erofs.Options{
		Layer: t.Layer, BlockSize: t.BlockSize, Label: t.Label, UUID: (*[16]byte)(t.UUID),
		Mtime: (*tree.Time)(t.Mtime), Clamp: (*tree.Time)(t.ClampMtime), BuildTime: env.Epoch,
		SpoolDir: env.SpoolDir(t.Output.Path, t.Temp.Dir), Check: t.Check, Warn: env.Warn,
	})
	if err != nil {
		return cli.Usage("%v", err)
	}
	src, err := tree.NewReader(in, tree.ReaderOptions{RequireCRC: t.RequireCRC, NeedData: true})
	if err != nil {
		return err
	}
	err = tree.Copy(w, tree.Limit(src, t.Limits))
	if errors.Is(err, erofs.ErrNeedsLayer) {
		return cli.Hint(err, "use --layer, or merge the layers first: tar2tree on the whole image")
	}
	if err != nil {
		return err
	}
	return out.Commit()
}
