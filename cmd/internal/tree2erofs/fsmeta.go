package tree2erofs

import (
	"os"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/erofsflags"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/merge"
	erofsread "ocipipe/lib/erofs/read"
)

// merge writes the image of metadata that merges the layers.
func (t *tool) merge(env *cli.Env) error {
	if err := t.mergeUsage(); err != nil {
		return err
	}
	opts := t.options(env)
	opts.NoDeviceTable = t.DeviceTable == "no"
	if err := opts.Validate(); err != nil {
		return cli.Usage("%v", err)
	}
	var files []*os.File
	for _, path := range t.Inputs {
		f, err := env.OpenFile(path)
		if err != nil {
			return err
		}
		defer f.Close()
		files = append(files, f)
	}
	devices, of, err := erofsread.Devices(files)
	if err != nil {
		return err
	}
	layers, err := merge.Open(devices, of)
	if err != nil {
		return err
	}
	out, err := env.Image(t.Output.Path, t.Temp.Dir)
	if err != nil {
		return err
	}
	if err := erofs.WriteFsmeta(env.Context, out, layers, t.Limits.Tree(), opts); err != nil {
		return err
	}
	if err := erofsflags.Describe(env, out); err != nil {
		return err
	}
	return out.Commit()
}

func (t *tool) mergeUsage() error {
	switch {
	case len(t.Inputs) == 0:
		return cli.Usage("--fsmeta needs the images of layers")
	case t.Layer:
		return cli.Usage("--fsmeta makes a flat image, and --layer one of a layer")
	case t.BlockSize != 0:
		return cli.Usage("--fsmeta has the block size of the layers, no --block-size")
	case t.KeepZeros:
		return cli.Usage("--fsmeta writes no content, and --keep-zeros is about that")
	case t.Compression.Given() != "":
		return cli.Usage("--fsmeta writes no content, and %s is about that", t.Compression.Given())
	case t.RequireCRC:
		return cli.Usage("--fsmeta reads images, and --require-crc is about streams")
	}
	for _, path := range t.Inputs {
		if path == "-" {
			return cli.Usage("--fsmeta refers to files, not to standard input")
		}
	}
	return nil
}
