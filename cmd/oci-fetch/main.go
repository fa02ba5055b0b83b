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
	Ref string `arg:"" help:"oci:DIR[:TAG|@DIGEST], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG] (FILE - is standard input), or a name in a registry."`

	Layer    *string `xor:"part" placeholder:"N|DIGEST" help:"Write one layer as it is: by number from 0 at the bottom, digest or diff-id."`
	Manifest bool    `xor:"part" help:"Write the manifest."`
	Config   bool    `xor:"part" help:"Write the configuration."`
	List     bool    `xor:"part" help:"List the layers, bottom to top; digests in full unless the terminal is too narrow."`
	JSON     bool    `xor:"form" help:"With --list: as JSON."`
	Digests  bool    `xor:"form" help:"With --list: only the digests, one a line."`

	Platform           string `placeholder:"OS/ARCH[/VARIANT]" help:"Platform that the image must be for, and to choose by from an index; without it linux on this architecture is chosen from an index, and an only image taken as it is."`
	AllowOtherPlatform bool   `help:"Take an only image although it is not for --platform, with a warning."`

	MaxMetadata int64 `type:"size" default:"16MiB" placeholder:"SIZE" help:"Largest index, manifest or configuration."`
	MaxLayer    int64 `type:"size" default:"64GiB" placeholder:"SIZE" help:"Most that a compressed layer of a docker archive may unpack to."`

	remote
	cli.Output
	cli.Temp
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
