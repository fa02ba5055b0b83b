package main

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

// writeVMConfig writes what the image says of its process into files in t.VMConfig. They
// are there before the image goes out, so that the last stage of a pipeline finds them.
func (t *tool) writeVMConfig(env *cli.Env, img *oci.Image) error {
	run, err := manifest.ParseRun(img.Config)
	if err != nil {
		return err
	}
	if err := os.Mkdir(t.VMConfig, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	lines, leftOut := run.ShellEnv()
	for _, e := range leftOut {
		env.Warn("environment: " + e + ": not a variable of a shell, and only in config.json")
	}
	if err := writeFile(filepath.Join(t.VMConfig, "config.json"), run.JSON()); err != nil {
		return err
	}
	return writeFile(filepath.Join(t.VMConfig, "env"), lines)
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
