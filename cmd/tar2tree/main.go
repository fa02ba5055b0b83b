// tar2tree reads layers, or an image whose layers it merges, and writes a tree
// stream.
//
// Its input is one layer (a tar, plain or compressed with gzip or zstd), an image
// archive as oci-fetch, docker save, skopeo or podman write it, an image layout
// directory, several layers from bottom to top, or an image followed by layers that
// go on top of it.
//
//	tar2tree < layer.tar.gz | tree2erofs --layer > layer.erofs
package main

import (
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/imageflags"
	"ocipipe/lib/tree"
)

type tool struct {
	Inputs []string `arg:"" optional:"" default:"-" help:"Layers from bottom to top; the first may be an image instead, an archive or a layout directory, on which the others go. Without any, and for -, standard input."`

	Input      string        `enum:"auto,layer,image" default:"auto" placeholder:"KIND" help:"What the first input is: auto, layer or image; those that follow are layers. Auto goes by the first name in the tar, directories left out, that says so."`
	Layer      string        `placeholder:"N|DIGEST" help:"Of an image, only this layer as it is: by number from 0 at the bottom, digest or diff-id."`
	DiffID     digest.Digest `name:"diff-id" placeholder:"DIGEST" help:"Digest that the uncompressed layer must have."`
	Sort       bool          `help:"Write a single layer in canonical order instead of its own."`
	ConfigFile string        `placeholder:"PATH" help:"Put the configuration of the image into the tree, at PATH, in place of what is there."`
	Jobs       int           `short:"j" placeholder:"N" help:"Layers to read at a time; without it as many as there are processors."`

	imageflags.Choice

	AllowUnterminated bool `help:"Accept a tar without the blocks of zeros at its end; a diff-id vouches for one as well."`
	AllowZeroDevice   bool `help:"Drop character devices 0:0, which mean whiteouts here, instead of refusing the layer."`

	cli.TreeForm

	cli.Output
	cli.Temp
	cli.Limits
}

func main() {
	cli.Main("tar2tree", "Turn layers, or an image, into a tree stream.", &tool{})
}

// Run copies the tree that the inputs make to a stream.
func (t *tool) Run(env *cli.Env) error {
	opts, err := t.TreeForm.Options("tar2tree")
	if err != nil {
		return err
	}
	if err := t.checkFlags(); err != nil {
		return err
	}
	out, err := env.Stream(t.Output.Path, cli.Kind(opts.Data == tree.Inline))
	if err != nil {
		return err
	}
	src, props, err := t.open(env)
	if err != nil {
		err = cli.About(cli.Only(t.Inputs), err)
		tree.NewWriter(out, opts).Abort(err)
		return err
	}
	defer src.Close()
	opts.Props = props
	if err := env.Copy(cli.Only(t.Inputs), tree.NewWriter(out, opts), src); err != nil {
		return err
	}
	return out.Commit()
}
