// Package tree2tar is the tool tree2tar.
package tree2tar

import (
	"errors"

	"ocipipe/lib/cli"
	"ocipipe/lib/compression"
	"ocipipe/lib/layer"
)

type tool struct {
	Input string `arg:"" optional:"" default:"-" help:"Tree stream; without it, and for -, standard input."`

	Compress string `short:"z" enum:"plain,gzip,zstd" default:"plain" placeholder:"KIND" group:"Output" help:"Compression: plain, gzip or zstd."`
	OCI      bool   `name:"oci" group:"Output" help:"Write a layer, with whiteouts as .wh. files."`

	cli.Output
	cli.TreeInput
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Run copies the stream to an archive.
func (t *tool) Run(env *cli.Env) error {
	in, err := env.Open(t.Input)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := env.Stream(t.Output.Path, cli.Binary)
	if err != nil {
		return err
	}
	src, err := t.TreeInput.Source(in)
	if err != nil {
		return cli.About(t.Input, err)
	}
	w, err := layer.NewWriter(out, layer.WriterOptions{Layer: t.OCI, Compression: compression.Kind(t.Compress), Warn: env.Warn})
	if err != nil {
		return err
	}
	if err := env.Copy(t.Input, w, src); err != nil {
		return err
	}
	return out.Commit()
}

// Advise names the flag that writes the marks of a layer.
func (t *tool) Advise(err error) string {
	if errors.As(err, new(*layer.MarkError)) {
		return "--oci writes the tar of a layer"
	}
	return ""
}
