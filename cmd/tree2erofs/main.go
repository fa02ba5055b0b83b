// tree2erofs reads a tree stream and writes an EROFS image: of a whole tree, or
// with --layer of one layer, its whiteouts kept. With --fsmeta it reads the images
// of layers and writes one of metadata alone, which merges them.
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
	Inputs []string `arg:"" optional:"" name:"input" help:"Tree stream; - is standard input, and so is none. With --fsmeta: layer images from bottom to top, such as --layer makes."`

	Layer       bool      `help:"Keep whiteouts and opaque directories for overlayfs, and put every file into whole blocks."`
	Fsmeta      bool      `help:"Write only metadata, of layer images merged; contents stay in these. It is mounted with -o device=LAYER once for each (Linux 5.16), or with all layers behind it on one device (Linux 6.4)."`
	DeviceTable string    `enum:"yes,no" default:"yes" placeholder:"yes|no" help:"With --fsmeta: name the layers as devices. Without the table any kernel mounts it with the layers behind it on one device, and only so."`
	BlockSize   int       `placeholder:"BYTES" help:"512 to 65536, or 4096 without this. Linux mounts 4096 since 5.15, less since 6.4, more only with pages as large."`
	Label       string    `placeholder:"NAME" help:"Volume name, at most 15 bytes."`
	UUID        *cli.UUID `name:"uuid" placeholder:"UUID" help:"In place of one that derives from the content."`
	Mtime       *cli.Time `placeholder:"TIME" help:"Time of every file: seconds since 1970, or RFC 3339."`
	ClampMtime  *cli.Time `placeholder:"TIME" help:"Latest time of a file; later ones become this."`
	KeepZeros   bool      `help:"Keep long zeros in files, from 64K on. Without this they become holes."`
	Check       bool      `help:"Read the finished image back and compare all of it with the input."`
	RequireCRC  bool      `name:"require-crc" help:"Refuse a stream whose end line has no checksum."`

	cli.Output
	cli.Temp
	cli.Limits
	MaxHoleBytes int64 `default:"4G" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"What sparse files take beyond their data: maps of where it is, and zeros around it."`
}

func main() {
	cli.Main("tree2erofs", "Write a tree stream, or layer images merged, as an EROFS image. "+
		"The image is written at random: in place to -o FILE or an empty regular file, "+
		"to a pipe once it is complete.", &tool{})
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
	opts.Layer, opts.KeepZeros, opts.BlockSize, opts.MaxHoleBytes = t.Layer, t.KeepZeros, t.BlockSize, t.MaxHoleBytes
	opts.SpoolDir = env.SpoolDir(t.Output.Path, t.Temp.Dir)
	w, err := erofs.NewWriter(out, opts)
	if err != nil {
		return cli.Usage("%v", err)
	}
	src, err := tree.NewReader(in, tree.ReaderOptions{RequireCRC: t.RequireCRC, NeedData: true})
	if err != nil {
		return cli.About(path, err)
	}
	err = env.Copy(path, w, tree.Limit(src, t.Limits.Tree()))
	if errors.Is(err, erofs.ErrNeedsLayer) {
		return cli.Hint(err, "use --layer, or merge the layers first: tar2tree on the whole image")
	}
	if err != nil {
		return err
	}
	return out.Commit()
}

// options are what all forms of image have in common.
func (t *tool) options(env *cli.Env) erofs.Options {
	return erofs.Options{
		Label: t.Label, UUID: (*[16]byte)(t.UUID),
		Mtime: (*tree.Time)(t.Mtime), Clamp: (*tree.Time)(t.ClampMtime), BuildTime: env.Epoch,
		Check: t.Check, Warn: env.Warn,
	}
}
