// Package tree2tar is the tool tree2tar.
package tree2tar

import (
	"crypto/sha256"
	"errors"

	"github.com/opencontainers/go-digest"

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
	opts := layer.WriterOptions{Layer: t.OCI, Compression: compression.Kind(t.Compress), Warn: env.Warn}
	sum := sha256.New()
	if env.Digests() && opts.Compression != compression.Plain {
		opts.Tap = sum
	}
	w, err := layer.NewWriter(out, opts)
	if err != nil {
		return err
	}
	if err := env.Copy(t.Input, w, src); err != nil {
		return err
	}
	if err := out.Commit(); err != nil {
		return err
	}
	r := env.Result()
	if r.Format = "tar"; t.OCI {
		r.MediaType = mediaTypes[opts.Compression]
	}
	if r.DiffID = env.OutputDigest(); opts.Tap != nil {
		r.DiffID = digest.NewDigest(digest.SHA256, sum)
	}
	return nil
}

// mediaTypes are those of layers.
var mediaTypes = map[compression.Kind]string{
	compression.Plain: "application/vnd.oci.image.layer.v1.tar",
	compression.Gzip:  "application/vnd.oci.image.layer.v1.tar+gzip",
	compression.Zstd:  "application/vnd.oci.image.layer.v1.tar+zstd",
}

// Advise names the flag that writes the marks of a layer.
func (t *tool) Advise(err error) string {
	if errors.As(err, new(*layer.MarkError)) {
		return "--oci writes the tar of a layer"
	}
	return ""
}
