// Package ocifetch is the tool oci-fetch.
package ocifetch

import (
	"cmp"
	"io"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/cacheflags"
	"ocipipe/lib/cli/imageflags"
	"ocipipe/lib/cli/registryflags"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/pull"
)

type tool struct {
	Ref string `arg:"" help:"Name in a registry, oci:DIR[:TAG|@DIGEST], oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG]. FILE - is standard input."`

	Layer    *string `xor:"part" placeholder:"N|DIGEST" group:"Part of the image" help:"Write one layer as it is."`
	Manifest bool    `xor:"part" group:"Part of the image" help:"Write the manifest."`
	Config   bool    `xor:"part" group:"Part of the image" help:"Write the configuration."`
	List     bool    `xor:"part" group:"Part of the image" help:"List the layers."`
	JSON     bool    `xor:"form" group:"Part of the image" help:"With --list: as JSON."`
	Digests  bool    `xor:"form" group:"Part of the image" help:"With --list: only the digests, one a line."`

	VMConfig imageflags.VMConfig `embed:""`

	imageflags.Choice `group:"Platform"`
	cacheflags.Cache
	registryflags.Registry
	cli.Output
	cli.Temp

	imageflags.Limits
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Advise implements [cli.Adviser].
func (t *tool) Advise(err error) string {
	return cmp.Or(t.Registry.Advise(err), t.Cache.Advise(err), t.Choice.Advise(err), t.Limits.Advise(err))
}

// Run opens the image and writes the part of it that was asked for.
func (t *tool) Run(env *cli.Env) error {
	if err := t.check(); err != nil {
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
	opts, err := t.options(env)
	if err != nil {
		return err
	}
	img, err := pull.Open(env.Context, t.Ref, opts)
	if err != nil {
		return err
	}
	defer img.Close()
	err = t.VMConfig.Write(env, img.Image)
	if err == nil {
		err = t.write(env, out, img.Image)
	}
	if err == nil {
		err = img.Drain(env.Context)
	}
	if err != nil {
		return cli.About(img.Name, err)
	}
	img.Record(env.Context)
	if err := t.report(env, img); err != nil {
		return err
	}
	return out.Commit()
}

// report says in the report what was written of img.
func (t *tool) report(env *cli.Env, img *pull.Image) error {
	imageflags.Describe(env, img.Image)
	r := env.Result()
	if ref, ok := img.Ref(); ok {
		r.Reference = ref.Name
	}
	switch {
	case t.Layer != nil:
		l, err := img.Layer(*t.Layer)
		if err != nil {
			return err
		}
		r.Format, r.MediaType, r.DiffID = "layer", l.MediaType, l.DiffID
	case t.Manifest:
		r.Format, r.MediaType = "manifest", img.MediaType
	case t.Config:
		r.Format, r.MediaType = "config", img.ConfigMediaType
	case t.List:
		r.Format = "list"
	default:
		r.Format = "oci"
	}
	return nil
}

// check returns an error for flags that do not go together.
func (t *tool) check() error {
	err := cmp.Or(t.Choice.Check(), t.Cache.Check(), t.Registry.Check(t.Ref))
	if err == nil && (t.JSON || t.Digests) && !t.List {
		err = cli.Usage("--json and --digests need --list")
	}
	return err
}

// options returns the options from the flags. For an image in a file it leaves out those
// about registries.
func (t *tool) options(env *cli.Env) (pull.Options, error) {
	opts := pull.Options{
		Image:    oci.Options{TmpDir: env.SpoolDir(t.Output.Path, t.Temp.Dir), OpenFile: env.Open, Reads: env.Reads, Warn: env.Warn},
		Progress: registryflags.ShowLayers(env.Progress()),
	}
	t.Choice.Fill(&opts.Image)
	t.Limits.Fill(&opts.Image)
	if oci.IsLocal(t.Ref) {
		return opts, nil
	}
	err := t.Registry.Fill(env, &opts)
	if err == nil {
		err = t.Cache.Fill(env, &opts)
	}
	return opts, err
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
