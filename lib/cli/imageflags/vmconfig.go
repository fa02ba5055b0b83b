package imageflags

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/cli"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
)

// VMConfig holds the flag that writes what an image runs.
type VMConfig struct {
	Dir string `name:"vm-config" placeholder:"DIR" group:"Part of the image" help:"Write what it runs to DIR too."`
}

// Write writes what the image says of its process into files in the directory, if that is
// given.
func (c *VMConfig) Write(env *cli.Env, img *oci.Image) error {
	if c.Dir == "" {
		return nil
	}
	run, err := manifest.ParseRun(img.Config)
	if err != nil {
		return err
	}
	return c.WriteRun(env, run)
}

// WriteRun is Write for a configuration that was parsed.
func (c *VMConfig) WriteRun(env *cli.Env, run manifest.Run) error {
	if c.Dir == "" {
		return nil
	}
	if err := os.Mkdir(c.Dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	lines, leftOut := run.ShellEnv()
	for _, e := range leftOut {
		env.Warn("environment: " + e + ": not a variable of a shell, and only in config.json")
	}
	if err := writeFile(filepath.Join(c.Dir, "config.json"), run.JSON()); err != nil {
		return err
	}
	return writeFile(filepath.Join(c.Dir, "env"), lines)
}

func writeFile(path string, data []byte) error {
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}
