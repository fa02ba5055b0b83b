// Package tar2tree is the tool tar2tree.
package tar2tree

import (
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/imageflags"
	"ocipipe/lib/cli/lookflags"
	"ocipipe/lib/tree"
)

type tool struct {
	Inputs []string `arg:"" optional:"" default:"-" help:"Layers from bottom to top. The first may be an image instead: an archive or the directory of an OCI layout. Without any, and for -, standard input."`

	Input      string        `enum:"auto,layer,image" default:"auto" placeholder:"KIND" group:"Input" help:"First input: auto, layer or image."`
	Layer      string        `placeholder:"N|DIGEST" group:"Input" help:"Write only this layer of the image, as it is."`
	DiffID     digest.Digest `name:"diff-id" placeholder:"DIGEST" group:"Input" help:"Digest that the uncompressed layer must have."`
	NoVerify   bool          `group:"Input" help:"Do not hash the unpacked layers of an image."`
	Sort       bool          `group:"Input" help:"Write a single layer in canonical order."`
	ConfigFile string        `placeholder:"PATH" group:"Input" help:"Put the image's configuration into the tree, as PATH."`

	imageflags.Choice `group:"Input"`

	AllowUnterminated bool `group:"Input" help:"Accept a tar without the zeros at its end."`
	AllowZeroDevice   bool `group:"Input" help:"Drop character devices 0:0 instead of failing."`

	Look lookflags.Flags `embed:""`
	cli.TreeForm

	cli.Output
	cli.Temp
	cli.Limits
	ImageLimits imageflags.Limits `embed:""`

	Jobs int `short:"j" placeholder:"N" group:"Other" help:"Layers to read at a time (default: one per CPU)."`
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Run copies the tree of the inputs to a stream, or shows what the flags ask to see.
func (t *tool) Run(env *cli.Env) error {
	if err := t.checkFlags(); err != nil {
		return err
	}
	if t.Look.Given() {
		return t.look(env)
	}
	opts, err := t.TreeForm.Options("tar2tree")
	if err != nil {
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
	env.Result().Format = "tree"
	return out.Commit()
}
