package ocicommit

import (
	"cmp"
	"slices"
	"strings"

	"ocipipe/lib/cli"
	"ocipipe/lib/commit"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/names"
	"ocipipe/lib/platform"
)

// scratch is the name of no base.
const scratch = "scratch"

// changes are the flags about the configuration.
type changes struct {
	Env        []string `sep:"none" placeholder:"NAME=VALUE" group:"Configuration" help:"Set a variable of the environment; repeated."`
	Entrypoint *string  `placeholder:"WORDS" group:"Configuration" help:"Program: a JSON array, or words of a shell."`
	Cmd        *string  `placeholder:"WORDS" group:"Configuration" help:"Its arguments, in the same form."`
	Workdir    string   `placeholder:"PATH" group:"Configuration" help:"Working directory."`
	User       *string  `placeholder:"USER[:GROUP]" group:"Configuration" help:"User to run as."`
	Label      []string `sep:"none" placeholder:"NAME=VALUE" group:"Configuration" help:"Set a label; repeated."`
	Expose     []string `sep:"none" placeholder:"PORT[/PROTO]" group:"Configuration" help:"Add a port; repeated."`
	Volume     []string `sep:"none" placeholder:"PATH" group:"Configuration" help:"Add a volume; repeated."`
	StopSignal string   `placeholder:"SIGNAL" group:"Configuration" help:"Signal that stops it."`
	Annotation []string `sep:"none" placeholder:"NAME=VALUE" group:"Configuration" help:"Annotation of the manifest; repeated."`
	Author     string   `placeholder:"TEXT" group:"Configuration" help:"Author of the image."`
	Message    string   `placeholder:"TEXT" group:"Configuration" help:"Comment in its history."`
}

// change returns the change of the configuration.
func (c *changes) change() (ch commit.Change, err error) {
	ch = commit.Change{
		Env: c.Env, WorkingDir: c.Workdir, User: c.User, Expose: c.Expose, Volumes: c.Volume, StopSignal: c.StopSignal,
	}
	if ch.Entrypoint, err = words("--entrypoint", c.Entrypoint); err != nil {
		return ch, err
	}
	if ch.Cmd, err = words("--cmd", c.Cmd); err != nil {
		return ch, err
	}
	if ch.Labels, err = pairs("--label", c.Label); err != nil {
		return ch, err
	}
	if err := ch.Check(); err != nil {
		return ch, cli.Usage("%v", err)
	}
	return ch, nil
}

func words(flag string, s *string) (*[]string, error) {
	if s == nil {
		return nil, nil
	}
	list, err := commit.Words(*s)
	if err != nil {
		return nil, cli.Usage("%s=%s: %v", flag, *s, err)
	}
	return &list, nil
}

func pairs(flag string, list []string) (map[string]string, error) {
	m := map[string]string{}
	for _, p := range list {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, cli.Usage("%s=%s: want NAME=VALUE", flag, p)
		}
		m[name] = value
	}
	return m, nil
}

// check returns the options of the image, or an error for flags that do not go together.
func (t *tool) check(env *cli.Env) (opts commit.Options, err error) {
	if err := cmp.Or(t.Choice.Check(), t.Cache.Check()); err != nil {
		return opts, err
	}
	stdin := slices.Clone(t.Layer)
	if oci.IsStdin(t.Base) {
		stdin = append(stdin, "-")
	}
	if t.Pin != "" {
		stdin = append(stdin, t.Pin)
	}
	others := slices.DeleteFunc(slices.Clone(stdin), func(p string) bool { return p == "-" })
	switch {
	case len(stdin)-len(others) > 1:
		return opts, cli.Usage("standard input can be only one of the inputs")
	case t.DryRun && t.Wanted():
		return opts, cli.Usage("--dry-run makes nothing that could be reported")
	case t.Base == scratch && t.Platform == "":
		return opts, cli.Usage("--base=scratch needs --platform: nothing else says what the image is for")
	case t.Base == scratch && t.Pin != "":
		return opts, cli.Usage("--pin needs a base")
	case t.Layout != "" && (t.Output.Path != "" || t.Format != "oci" || t.Tag != ""):
		return opts, cli.Usage("--layout does not go with --output, --format=docker and --tag: the tag is that of DIR:TAG")
	}
	if t.Base != scratch {
		if err := t.Registry.Check(t.Base); err != nil {
			return opts, err
		}
	}
	if err := t.checkName(); err != nil {
		return opts, err
	}
	return t.imageOptions(env)
}

// checkName returns an error for a name that the new image cannot have in what is written. It
// splits that of --layout.
func (t *tool) checkName() (err error) {
	flag := "--tag"
	switch {
	case t.Layout != "":
		flag = "--layout"
		if t.layout.dir, t.layout.tag, err = oci.SplitLayout(t.Layout); err != nil {
			break
		}
		t.layout.tag = cmp.Or(t.layout.tag, "latest")
		err = names.CheckRefName(t.layout.tag)
	case t.Tag == "":
	case t.Format == "docker":
		_, err = names.RepoTag(t.Tag)
	default:
		err = names.CheckRefName(t.Tag)
	}
	if err != nil {
		return cli.Usage("%s: %v", flag, err)
	}
	return nil
}

func (t *tool) imageOptions(env *cli.Env) (opts commit.Options, err error) {
	opts = commit.Options{
		CreatedBy: "oci-commit", Comment: t.Message, Author: t.Author,
		Squashed: t.SquashBase, Warn: env.Warn,
	}
	if env.Epoch != nil {
		opts.Created = *env.Epoch
	}
	if opts.Change, err = t.change(); err != nil {
		return opts, err
	}
	if opts.Annotations, err = pairs("--annotation", t.Annotation); err != nil {
		return opts, err
	}
	if t.Base == scratch {
		opts.Platform, err = platform.Parse(t.Platform)
	}
	return opts, err
}

func (t *tool) spoolDir(env *cli.Env) string { return env.SpoolDir(t.Output.Path, t.Temp.Dir) }
