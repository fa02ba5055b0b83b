// Package erofspatch is the tool erofs-patch.
package erofspatch

import (
	"errors"
	"io/fs"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/ext4flags"
	"ocipipe/lib/cli/lowerflags"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/lower"
	"ocipipe/lib/patch"
	"ocipipe/lib/tree"
)

type tool struct {
	Patches []string `arg:"" optional:"" name:"patches" help:"List of operations, JSON or YAML; - is standard input."`

	Lower  cli.Ordered `required:"" placeholder:"IMAGE" group:"Input" help:"EROFS or ext4 image, or tree stream, to patch; - is a stream on standard input. Repeat it, from bottom to top."`
	Device cli.Ordered `placeholder:"FILE" group:"Input" help:"Layer image that holds contents of that --lower; repeat it."`

	operations

	Replace    bool      `group:"Changes" help:"Let the flags above replace what exists."`
	VMSkeleton bool      `name:"vm-skeleton" group:"Changes" help:"Make dev, proc, run, sys and tmp where absent."`
	Mtime      *cli.Time `placeholder:"TIME" group:"Changes" help:"Time of files that are new or written to (default 0)."`
	KeepCaps   bool      `group:"Changes" help:"Keep the capabilities of changed files."`
	Root       string    `placeholder:"DIR" group:"Changes" help:"Read the sources of copies below DIR alone."`
	Follow     bool      `group:"Changes" help:"Copy what symbolic links in a --copy-dir lead to."`
	Preserve   bool      `group:"Changes" help:"Copy owners, times and extended attributes too."`

	Full   bool `group:"Output" help:"Write the whole tree, not the difference."`
	DryRun bool `group:"Output" help:"Write what would change, a line for each path."`
	cli.Output
	cli.Temp
	cli.Limits
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Run writes the stream.
func (t *tool) Run(env *cli.Env) error {
	flags, err := t.fromFlags()
	if err != nil {
		return err
	}
	inputs, err := lowerflags.Inputs(t.Lower, t.Device, t.Patches...)
	if err != nil {
		return err
	}
	out, err := env.Stream(t.Output.Path, cli.Kind(!t.DryRun))
	if err != nil {
		return err
	}
	w := tree.NewWriter(out, tree.WriterOptions{Stage: manual.Name})
	result, err := t.patch(env, inputs, flags)
	switch {
	case err != nil && t.DryRun:
	case err != nil:
		w.Abort(err)
	case t.DryRun:
		err = result.WriteChanges(out)
	case t.Full:
		err = env.Copy("", w, result.Source(tree.Flat))
	default:
		err = env.Copy("", w, result.Source(tree.Layer))
	}
	if err != nil {
		return err
	}
	if env.Result().Format = "tree"; t.DryRun {
		env.Result().Format = "changes"
	}
	return out.Commit()
}

// patch applies what the files and the flags say. What it opens is closed with the
// process.
func (t *tool) patch(env *cli.Env, inputs []lowerflags.Input, flags []flagOp) (*patch.Result, error) {
	ops, err := t.fromFiles(env)
	if err != nil {
		return nil, err
	}
	for _, f := range flags {
		ops = append(ops, f)
	}
	if t.VMSkeleton {
		ops = append(ops, patch.Skeleton()...)
	}
	below, err := lowerflags.Merge(env, inputs, lower.Options{Limits: t.Limits.Tree(), SpoolDir: env.SpoolDir(t.Output.Path, t.Temp.Dir)})
	if err != nil {
		return nil, err
	}
	opts := patch.Options{Mtime: (*tree.Time)(t.Mtime), Epoch: env.Epoch, KeepCaps: t.KeepCaps, Follow: t.Follow, Preserve: t.Preserve, Reads: env.Reads, Limits: t.Limits.Tree()}
	if t.Root != "" { // an earlier stage of a pipeline may have made it
		if opts.Root, err = patch.OpenRoot(t.Root); err != nil {
			return nil, err
		}
	}
	result, err := patch.Apply(env.Context, below.Tree, ops, opts)
	return result, asFlag(err, ops)
}

// Advise names the flag that helps against err.
func (t *tool) Advise(err error) string {
	var failed *patch.OpError
	switch {
	case errors.As(err, new(*patch.UnknownError)):
		return "man erofs-patch lists the operations and their fields"
	case errors.As(err, &failed) && failed.Op == "append" && errors.Is(failed.Err, fs.ErrNotExist):
		if errors.As(err, new(*flagError)) {
			return "--text makes a file that does not exist"
		}
		return "text makes a file that does not exist"
	case errors.As(err, new(*flagError)) && errors.Is(err, fs.ErrExist):
		return "--replace replaces what exists"
	case errors.Is(err, erofsread.ErrNoDevice):
		return "name the layers, bottom to top: --device FILE for each, after its --lower"
	}
	return ext4flags.Advise(err)
}
