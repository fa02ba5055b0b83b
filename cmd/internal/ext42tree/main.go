// Package ext42tree is the tool ext42tree.
package ext42tree

import (
	"errors"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/ext4flags"
	"ocipipe/lib/cli/lookflags"
	"ocipipe/lib/cli/lowerflags"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/overlay"
	"ocipipe/lib/tree"
)

type tool struct {
	Disk string `arg:"" help:"File or block device with an ext4 file system; - is standard input."`

	Upper     bool        `group:"Overlay" help:"Write the changes in /upper, as one layer."`
	Lower     cli.Ordered `placeholder:"IMAGE" group:"Overlay" help:"EROFS or ext4 image that was below the overlay. Repeat it, from bottom to top."`
	Device    cli.Ordered `placeholder:"FILE" group:"Overlay" help:"Layer image that holds contents of that --lower; repeat it."`
	UserXattr bool        `name:"userxattr" group:"Overlay" help:"The overlay was mounted with userxattr."`

	Exclude []string `sep:"none" placeholder:"GLOB" group:"Content" help:"Leave these files out; repeat it."`

	Look lookflags.Flags `embed:""`
	cli.TreeForm

	cli.Output
	cli.Temp
	cli.Limits

	length int64 // of the file system, once it is open
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Run writes the stream, or what the flags ask to see.
func (t *tool) Run(env *cli.Env) error {
	lowers, exclude, err := t.check()
	if err == nil {
		err = t.Look.Check(&t.TreeForm)
	}
	if err != nil {
		return err
	}
	if t.Look.Given() {
		return t.look(env, lowers, exclude)
	}
	opts, err := t.TreeForm.Options(manual.Name)
	if err != nil {
		return err
	}
	out, err := env.Stream(t.Output.Path, cli.Kind(opts.Data == tree.Inline))
	if err != nil {
		return err
	}
	src, err := t.open(env, lowers, exclude, &opts)
	if err != nil {
		tree.NewWriter(out, opts).Abort(err)
		return err
	}
	if err := env.Copy(t.Disk, tree.NewWriter(out, opts), src); err != nil {
		return err
	}
	env.Result().Format = "tree"
	return out.Commit()
}

// check returns the images below and the patterns of --exclude.
func (t *tool) check() (lowers []lowerflags.Input, exclude []tree.Pattern, err error) {
	if !t.Upper && (len(t.Lower) > 0 || len(t.Device) > 0 || t.UserXattr) {
		return nil, nil, cli.Usage("--lower, --device and --userxattr need --upper")
	}
	for _, p := range t.Exclude {
		if err := tree.Pattern(p).Check(); err != nil {
			return nil, nil, cli.Usage("--exclude: %v", err)
		}
		exclude = append(exclude, tree.Pattern(p))
	}
	lowers, err = lowerflags.Inputs(t.Lower, t.Device, t.Disk)
	return lowers, exclude, err
}

// open opens the disk, and the images below. They stay open until the process ends.
func (t *tool) open(env *cli.Env, lowers []lowerflags.Input, exclude []tree.Pattern, opts *tree.WriterOptions) (tree.Source, error) {
	img, err := t.openDisk(env)
	if err != nil {
		return nil, err
	}
	if !t.Upper {
		src := tree.Limit(img.Source(), t.Limits.Tree())
		if len(exclude) > 0 {
			src, err = overlay.Exclude(src, exclude, tree.Flat)
		}
		return src, cli.About(t.Disk, err)
	}
	below, err := t.below(env, lowers)
	if err != nil {
		return nil, err
	}
	if base := bases(below); base != "" && opts.Data == tree.Inline {
		opts.Props = []tree.Property{{Key: "base", Value: base}}
	}
	src, err := overlay.Changes(img, overlay.Options{UserXattr: t.UserXattr, Below: below, Exclude: exclude, Limits: t.Limits.Tree(), Warn: env.Warn})
	return src, cli.About(t.Disk, err)
}

// openDisk opens the disk, which nothing else may write.
func (t *tool) openDisk(env *cli.Env) (*read.Image, error) {
	f, size, err := disk(env, t.Disk, env.SpoolDir(t.Output.Path, t.Temp.Dir))
	if err != nil {
		return nil, err
	}
	img, err := read.OpenRecovered(f, size)
	if err != nil {
		return nil, cli.About(t.Disk, err)
	}
	t.length = img.Length()
	return img, nil
}

// Advise names the flag that helps against err.
func (t *tool) Advise(err error) string {
	switch {
	case errors.As(err, new(*overlay.NeedsBelowError)):
		return "--lower IMAGE names what was below the overlay, bottom to top"
	case errors.As(err, new(*overlay.LayersError)):
		return "ext42tree --upper --lower makes a layer of it without such marks"
	case errors.Is(err, overlay.ErrNoUpper):
		return "without --upper the whole file system is written"
	case errors.Is(err, erofsread.ErrNoDevice):
		return "name the layers, bottom to top: --device FILE for each, after its --lower"
	}
	return ext4flags.Advise(err)
}
