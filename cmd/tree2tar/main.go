// tree2tar reads a tree stream and writes a tar archive in the pax format.
//
//	erofs2tree rootfs.erofs | tree2tar -z zstd > rootfs.tar.zst
package main

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/compression"
	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

type tool struct {
	Input string `arg:"" optional:"" default:"-" help:"Tree stream; without it, and for -, standard input."`

	Compress   string `short:"z" enum:"plain,gzip,zstd" default:"plain" placeholder:"KIND" group:"Output" help:"Compression: plain, gzip or zstd."`
	OCI        bool   `name:"oci" group:"Output" help:"Write a layer, with whiteouts as .wh. files."`
	RequireCRC bool   `group:"Input" help:"Refuse a stream without a checksum at its end."`

	cli.Output
	tree.Limits
}

func main() {
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
	src, err := tree.NewReader(in, tree.ReaderOptions{RequireCRC: t.RequireCRC, NeedData: true})
	if err != nil {
		return cli.About(t.Input, err)
	}
	z, err := layer.Compress(out, compression.Kind(t.Compress))
	if err != nil {
		return err
	}
	if err := cli.Copy(t.Input, layer.NewWriter(z, layer.WriterOptions{Layer: t.OCI}), tree.Limit(src, t.Limits)); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return out.Commit()
}
