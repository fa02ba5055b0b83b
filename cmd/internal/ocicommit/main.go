// Package ocicommit is the tool oci-commit.
package ocicommit

import (
	"cmp"
	"errors"
	"io"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/cacheflags"
	"ocipipe/lib/cli/imageflags"
	"ocipipe/lib/cli/registryflags"
	"ocipipe/lib/commit"
	"ocipipe/lib/layer"
	"ocipipe/lib/magic"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/names"
)

type tool struct {
	Base       string   `required:"" placeholder:"IMAGE" group:"What the image is made of" help:"Base image, in a registry or a file, or scratch."`
	Layer      []string `sep:"none" placeholder:"FILE" group:"What the image is made of" help:"Layer to add, or -; repeated, bottom to top."`
	Compress   string   `enum:"keep,gzip,zstd,none" default:"keep" placeholder:"KIND" group:"What the image is made of" help:"Compression of added layers: keep, gzip, zstd, none."`
	SquashBase bool     `group:"What the image is made of" help:"Merge all layers, those of the base too, into one."`
	Pin        string   `placeholder:"JSON" group:"What the image is made of" help:"Require the base that oci-materialize or a snapshot names."`

	changes
	imageflags.Choice `group:"Platform"`

	Format string `enum:"oci,docker" default:"oci" placeholder:"oci|docker" group:"Output" help:"Form of the archive."`
	Tag    string `placeholder:"NAME" group:"Output" help:"Name of the image in the archive."`
	Layout string `xor:"out" placeholder:"DIR[:TAG]" group:"Output" help:"Add it to an OCI layout instead."`
	DryRun bool   `group:"Output" help:"Print manifest and config, write no image."`

	cacheflags.Cache
	registryflags.Registry
	cli.Output
	cli.Temp

	AllowUnterminated bool `group:"Layers" help:"Accept a layer that lacks its last blocks."`

	imageflags.Limits
	Tree cli.Limits `embed:""`

	layout struct{ dir, tag string } // what Layout says
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// intoLayer are commands that make a layer of a file, by its kind.
var intoLayer = map[magic.Kind]string{
	magic.Tree:  "tree2tar --oci",
	magic.EROFS: "erofs2tree FILE | tree2tar --oci",
	magic.Ext4:  "ext42tree --upper FILE | tree2tar --oci",
}

// Advise implements [cli.Adviser].
func (t *tool) Advise(err error) string {
	if end := (*layer.EndError)(nil); errors.As(err, &end) && end.Unterminated {
		return "--allow-unterminated takes it all the same"
	}
	if foreign := (*magic.Error)(nil); errors.As(err, &foreign) && foreign.Want == magic.Tar && intoLayer[foreign.Is] != "" {
		return intoLayer[foreign.Is] + " makes a layer of it"
	}
	if errors.Is(err, commit.ErrNoPlatform) {
		return "--platform=OS/ARCH gives it"
	}
	return cmp.Or(t.Registry.Advise(err), t.Cache.Advise(err), t.Choice.Advise(err), t.Limits.Advise(err))
}

// Run builds the image and writes it.
func (t *tool) Run(env *cli.Env) error {
	opts, err := t.check(env)
	if err != nil {
		return err
	}
	if t.Layout != "" {
		env.MadeElsewhere(t.layout.dir)
	}
	var out *cli.Stream // nil for a layout
	if t.DryRun {
		out, err = env.Stream(t.Output.Path, cli.Text)
	} else if t.Layout == "" {
		out, err = env.Stream(t.Output.Path, cli.Binary)
	}
	if err != nil {
		return err
	}
	b := &build{tool: t, env: env, opts: opts}
	defer b.close()
	img, err := b.image()
	if err != nil {
		return err
	}
	if err := t.write(env, out, img); err != nil {
		return err
	}
	if err := b.finish(); err != nil {
		return err
	}
	t.report(env, img)
	if out == nil {
		return nil
	}
	return out.Commit()
}

// report says in the report what was made.
func (t *tool) report(env *cli.Env, img *oci.Image) {
	imageflags.Describe(env, img)
	r := env.Result()
	switch {
	case t.Layout != "":
		r.Format = "oci-layout"
		r.Tags = []string{t.layout.tag}
	case t.Format == "docker": // which has no manifest, and layers that are not compressed
		r.Format, r.Manifest, r.Layers = "docker", nil, nil
	default:
		r.Format = "oci"
	}
	if t.Tag != "" {
		r.Tags = []string{t.Tag}
	}
}

// write writes img in the form that was asked for.
func (t *tool) write(env *cli.Env, out io.Writer, img *oci.Image) error {
	switch {
	case t.DryRun:
		return summary(out, img)
	case t.Layout != "":
		return commit.WriteLayout(env.Context, t.layout.dir, t.layout.tag, img, env.Warn)
	case t.Format == "docker":
		var tags []string
		if t.Tag != "" {
			name, err := names.RepoTag(t.Tag)
			if err != nil {
				return err
			}
			tags = append(tags, name)
		}
		opts := oci.Options{TmpDir: t.spoolDir(env)}
		t.Limits.Fill(&opts)
		return oci.WriteDocker(env.Context, out, img, tags, opts)
	}
	img.Tag = t.Tag
	return oci.WriteArchive(env.Context, out, img)
}
