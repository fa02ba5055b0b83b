package mkext4upper

import (
	"context"
	"errors"
	"fmt"
	"os"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/ext4flags"
	"ocipipe/lib/exclusive"
	"ocipipe/lib/ext4/grow"
)

// grow makes the file system in t.Grow larger.
func (t *tool) grow(env *cli.Env) error {
	same := *t
	same.Size, same.Grow, same.Report, same.ReportDigest = 0, "", cli.Report{}, cli.ReportDigest{}
	if same != (tool{TreeInput: cli.TreeInput{Limits: t.Limits}}) {
		return cli.Usage("--grow goes with --size alone: all else stays as it is")
	}
	if err := env.Writes(t.Grow); err != nil {
		return err
	}
	f, device, err := exclusive.Open(t.Grow, exclusive.Write)
	if err != nil {
		return err
	}
	defer f.Close()
	err = env.Guard(t.Grow, func(ctx context.Context) error {
		err := grow.Grow(ctx, f, grow.Options{Size: t.Size, Device: device})
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", t.Grow, err)
		}
		return nil
	})
	if err != nil || !env.Reports() {
		return err
	}
	return cli.About(t.Grow, t.reportGrown(env))
}

// reportGrown says in the report what the file system is now.
func (t *tool) reportGrown(env *cli.Env) error {
	f, err := os.Open(t.Grow)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := ext4flags.Describe(env, f); err != nil {
		return err
	}
	return env.Measure(t.Grow, f)
}
