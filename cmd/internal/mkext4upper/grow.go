package mkext4upper

import (
	"context"
	"errors"
	"fmt"

	"ocipipe/lib/cli"
	"ocipipe/lib/exclusive"
	"ocipipe/lib/ext4/grow"
)

// grow makes the file system in t.Grow larger.
func (t *tool) grow(env *cli.Env) error {
	same := *t
	same.Size, same.Grow = 0, ""
	if same != (tool{TreeInput: cli.TreeInput{Limits: t.Limits}}) {
		return cli.Usage("--grow goes with --size alone: all else stays as it is")
	}
	f, device, err := exclusive.Open(t.Grow, exclusive.Write)
	if err != nil {
		return err
	}
	defer f.Close()
	return env.Guard(t.Grow, func(ctx context.Context) error {
		err := grow.Grow(ctx, f, grow.Options{Size: t.Size, Device: device})
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", t.Grow, err)
		}
		return nil
	})
}
