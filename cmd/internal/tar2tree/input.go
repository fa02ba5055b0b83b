package tar2tree

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"ocipipe/lib/cli"
	"ocipipe/lib/input"
	"ocipipe/lib/layer"
	"ocipipe/lib/oci"
	"ocipipe/lib/tree"
)

// checkFlags returns an error for flags that do not go together.
func (t *tool) checkFlags() error {
	if err := t.Choice.Check(); err != nil {
		return err
	}
	if err := t.Look.Check(&t.TreeForm); err != nil {
		return err
	}
	if t.DiffID != "" {
		if err := t.DiffID.Validate(); err != nil {
			return cli.Usage("--diff-id %s: %v", t.DiffID, err)
		}
	}
	if len(t.Inputs) > 1 && (t.Layer != "" || t.DiffID != "" || t.Sort) {
		return cli.Usage("--layer, --diff-id and --sort take a single input")
	}
	if first := slices.Index(t.Inputs, "-"); first >= 0 && slices.Contains(t.Inputs[first+1:], "-") {
		return cli.Usage("standard input is named twice")
	}
	return nil
}

// open returns a source of the inputs, and the properties that say where it comes from.
func (t *tool) open(env *cli.Env) (tree.Source, []tree.Property, error) {
	set, err := t.openSet(env, env.Warn)
	if err != nil {
		return nil, nil, err
	}
	return t.read(env, set, t.load(env))
}

// openSet opens the inputs, and checks that the flags are for such inputs.
func (t *tool) openSet(env *cli.Env, warn func(string)) (*input.Set, error) {
	spools := t.spools(env)
	opts := input.Options{
		Kind:         input.Kind(t.Input),
		Open:         env.Open,
		Warn:         warn,
		Image:        oci.Options{TmpDir: spools, Reads: env.Reads},
		TrustDiffIDs: t.NoVerify,
		Layer:        layer.Options{DiffID: t.DiffID, AllowUnterminated: t.AllowUnterminated, AllowZeroDevice: t.AllowZeroDevice, SpoolDir: spools},
	}
	t.Choice.Fill(&opts.Image)
	t.ImageLimits.Fill(&opts.Image)
	set, err := input.Open(env.Context, t.Inputs, opts)
	if path := t.Inputs[0]; errors.Is(err, fs.ErrNotExist) && strings.Contains(path, ":") {
		if ref := oci.Reference(path); ref != "" {
			err = cli.Hint(err, "oci-fetch takes references: "+shellLine("oci-fetch", ref)+" | "+shellLine(t.piped()...))
		}
	}
	if err != nil {
		return nil, err
	}
	switch {
	case set.Image == nil && (t.Layer != "" || t.ConfigFile != ""):
		err = cli.Usage("--layer and --config-file need an image; the input is a layer")
	case set.Image == nil && t.NoVerify:
		err = cli.Usage("--no-verify is for an image; a layer is hashed only for --diff-id")
	case set.Image != nil && t.DiffID != "":
		err = cli.Usage("--diff-id is for a single layer; an image says its own")
	}
	if err != nil {
		set.Close()
		return nil, err
	}
	return set, nil
}

// isSingle reports whether the output is one layer as it is, and not the merged tree.
func (t *tool) isSingle(set *input.Set) bool {
	return t.Layer != "" || set.Image == nil && len(t.Inputs) == 1
}

// load returns the options for read.
func (t *tool) load(env *cli.Env) layer.LoadOptions {
	return layer.LoadOptions{Jobs: t.Jobs, SpoolDir: t.spools(env), Limits: t.Limits.Tree()}
}

// read returns the source of set.
func (t *tool) read(env *cli.Env, set *input.Set, load layer.LoadOptions) (tree.Source, []tree.Property, error) {
	if t.isSingle(set) {
		return set.SingleLayer(env.Context, t.Layer, t.Sort, load)
	}
	return set.Merge(env.Context, t.ConfigFile, load)
}

func (t *tool) spools(env *cli.Env) string { return env.SpoolDir(t.Output.Path, t.Temp.Dir) }
