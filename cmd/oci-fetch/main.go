// oci-fetch reads an image from a registry, an OCI image layout, an OCI archive
// or an archive of docker save, and writes it as an OCI archive, or one part of
// it. Every byte it writes has been verified against its digest. What comes from
// a registry it keeps in a cache.
//
//	oci-fetch docker.io/library/alpine | tar2tree | tree2erofs > rootfs.erofs
package main

import (
	"io"

	"ocipipe/lib/cli"
	"ocipipe/lib/oci"
)

type tool struct {
	Ref string `arg:"" help:"Name in a registry, oci:DIR[:TAG|@DIGEST], oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG]. FILE - is standard input."`

	Layer    *string `xor:"part" placeholder:"N|DIGEST" group:"Part of the image" help:"Write one layer as it is."`
	Manifest bool    `xor:"part" group:"Part of the image" help:"Write the manifest."`
	Config   bool    `xor:"part" group:"Part of the image" help:"Write the configuration."`
	List     bool    `xor:"part" group:"Part of the image" help:"List the layers."`
	JSON     bool    `xor:"form" group:"Part of the image" help:"With --list: as JSON."`
	Digests  bool    `xor:"form" group:"Part of the image" help:"With --list: only the digests, one a line."`

	Platform           string `placeholder:"OS/ARCH" group:"Platform" help:"Platform to choose from an index, and to require."`
	AllowOtherPlatform bool   `group:"Platform" help:"Take the only image though its platform differs."`

	remote
	cli.Output
	cli.Temp

	MaxMetadata int64 `type:"size" default:"16MiB" placeholder:"SIZE" group:"Limits on the input" help:"Size of an index, manifest or config."`
	MaxLayer    int64 `type:"size" default:"64GiB" placeholder:"SIZE" group:"Limits on the input" help:"Unpacked layer of docker save."`
}

func main() {
	cli.Main(manual, &tool{})
}

// Run opens the image and writes the part of it that was asked for.
func (t *tool) Run(env *cli.Env) error {
	if err := oci.CheckPlatform(t.Platform); err != nil {
		return cli.Usage("%v", err)
	}
	if (t.JSON || t.Digests) && !t.List {
		return cli.Usage("--json and --digests need --list")
	}
	if err := t.remote.check(t.Ref); err != nil {
		return err
	}
	kind := cli.Binary
	if t.Manifest || t.Config || t.List {
		kind = cli.Text
	}
	out, err := env.Stream(t.Output.Path, kind)
	if err != nil {
		return err
	}
	opts := oci.Options{
		Platform: t.Platform, AllowOtherPlatform: t.AllowOtherPlatform, TmpDir: env.SpoolDir(t.Output.Path, t.Temp.Dir), OpenFile: env.Open, Warn: env.Warn,
		MaxMetadata: t.MaxMetadata, MaxLayer: t.MaxLayer, Progress: showLayers(env.Progress()),
	}
	if err := t.remote.fill(env, t.Ref, &opts); err != nil {
		return err
	}
	img, err := oci.Open(env.Context, t.Ref, opts)
	if err != nil {
		return err
	}
	defer img.Close()
	if err := t.write(env, out, img); err != nil {
		return cli.About(img.Name, err)
	}
	if err := img.Finish(env.Context); err != nil {
		return cli.About(img.Name, err)
	}
	return out.Commit()
}

func (t *tool) write(env *cli.Env, w io.Writer, img *oci.Image) (err error) {
	switch {
	case t.Layer != nil:
		return oci.WriteLayer(env.Context, w, img, *t.Layer)
	case t.Manifest:
		_, err = w.Write(img.Manifest)
	case t.Config:
		_, err = w.Write(img.Config)
	case t.List && t.JSON:
		return oci.ListJSON(w, img)
	case t.List && t.Digests:
		return oci.ListDigests(w, img)
	case t.List:
		return oci.ListText(w, img, env.Columns(t.Output.Path))
	default:
		return oci.WriteArchive(env.Context, w, img)
	}
	return err
}
