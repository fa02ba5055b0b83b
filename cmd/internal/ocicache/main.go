// Package ocicache is the tool oci-cache.
package ocicache

import (
	"errors"

	"ocipipe/lib/cas"
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/cachedir"
	"ocipipe/lib/imagecache"
	"ocipipe/lib/oci/printable"
)

type tool struct {
	cachedir.Dir
	JSON bool `group:"Output" help:"Write JSON."`
	cli.TextOutput

	Ls      struct{} `cmd:"" help:"List the images."`
	Inspect images   `cmd:"" help:"Show all about images."`
	Rm      images   `cmd:"" help:"Remove images, and the files that they alone need."`
	Prune   prune    `cmd:"" help:"Remove what no image needs, and old images."`
	Verify  verify   `cmd:"" help:"Check every file."`
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Advise implements [cli.Adviser].
func (t *tool) Advise(err error) string {
	switch {
	case errors.Is(err, imagecache.ErrNotFound):
		return "oci-cache ls shows what is there"
	case errors.As(err, new(*faultsError)) && !t.Verify.Repair:
		return "--repair removes what is damaged"
	}
	return ""
}

// Run runs a command, and writes its result.
func (t *tool) Run(env *cli.Env) error {
	if t.Verify.Jobs < 0 {
		return cli.Usage("--jobs %d: must not be negative", t.Verify.Jobs)
	}
	out, err := env.Stream(t.TextOutput.Path, cli.Text)
	if err != nil {
		return err
	}
	s, err := t.Open(env, cas.Options{Existing: t.Dir.Dir != "", Warn: env.Warn})
	if err != nil {
		return err
	}
	result, text, err := t.command(env, s)
	if result == nil {
		return err
	}
	if t.JSON {
		text = func(*cli.Stream) error {
			_, err := out.Write(printable.Encode(result))
			return err
		}
	}
	if werr := text(out); werr != nil {
		return werr
	}
	return errors.Join(out.Commit(), err)
}
