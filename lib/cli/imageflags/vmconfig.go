package imageflags

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/cli"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
)

// VMConfig holds the flag that writes what an image runs.
type VMConfig struct {
	Dir string `name:"vm-config" placeholder:"DIR" group:"Part of the image" help:"Write what the image runs to DIR too."`
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
	lines, others := run.ShellEnv()
	if len(others) > 0 {
		env.Warn(leftOut(others))
	}
	if err := writeFile(filepath.Join(c.Dir, "config.json"), run.JSON()); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(c.Dir, "process"), run.ShellProcess()); err != nil {
		return err
	}
	return writeFile(filepath.Join(c.Dir, "env"), lines)
}

// leftOut returns the warning about entries that no shell can have. It leaves out their
// values, which may be secrets.
func leftOut(entries []string) string {
	name, _, _ := strings.Cut(entries[0], "=")
	name = cmp.Or(name, `""`)
	if more := len(entries) - 1; more > 0 {
		return fmt.Sprintf("environment: %s and %d more: not variables of a shell, and only in config.json", name, more)
	}
	return fmt.Sprintf("environment: %s: not a variable of a shell, and only in config.json", name)
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
