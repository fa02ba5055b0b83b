// Package erofs2tree is the tool erofs2tree.
package erofs2tree

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"ocipipe/lib/blockio"
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/lookflags"
	"ocipipe/lib/erofs/merge"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

type tool struct {
	Images []string `arg:"" name:"image" help:"EROFS image; - is standard input. Several are layers from bottom to top, and are merged."`
	Device []string `sep:"none" placeholder:"FILE" group:"Input" help:"Layer image that holds its contents; repeat it, bottom to top."`

	Look lookflags.Flags `embed:""`
	cli.TreeForm

	cli.Output
	cli.Temp
	cli.Limits
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Run writes the stream, or what the flags ask to see.
func (t *tool) Run(env *cli.Env) error {
	if len(t.Images) > 1 && len(t.Device) > 0 {
		return cli.Usage("--device is for a single image")
	}
	if err := t.Look.Check(&t.TreeForm); err != nil {
		return err
	}
	if t.Look.Given() {
		return t.look(env)
	}
	opts, err := t.TreeForm.Options("erofs2tree")
	if err != nil {
		return err
	}
	out, err := env.Stream(t.Output.Path, cli.Kind(opts.Data == tree.Inline))
	if err != nil {
		return err
	}
	src, _, err := t.open(env)
	if err != nil {
		err = cli.About(cli.Only(t.Images), err)
		tree.NewWriter(out, opts).Abort(err)
		return err
	}
	if len(t.Images) > 1 { // the property that tar2tree writes for the same layers
		opts.Props = []tree.Property{{Key: "layers", Value: strconv.Itoa(len(t.Images))}}
	}
	if err := env.Copy(cli.Only(t.Images), tree.NewWriter(out, opts), src); err != nil {
		return err
	}
	env.Result().Format = "tree"
	return out.Commit()
}

// Advise names the flag for the layers of an image that needs them, and that for a directory.
func (t *tool) Advise(err error) string {
	if errors.Is(err, erofsread.ErrNoDevice) {
		return "name the layers: --device FILE for each, bottom to top"
	}
	return t.Look.Advise(err, t.Images)
}

// open opens the images. They stay open until the process ends. img is nil if there are several.
func (t *tool) open(env *cli.Env) (src tree.Source, img *erofsread.Image, err error) {
	if len(t.Images) > 1 {
		src, err = t.merge(env)
		return src, nil, err
	}
	if img, err = t.openImage(env); err != nil {
		return nil, nil, err
	}
	return tree.Limit(img.Source(), t.Limits.Tree()), img, nil
}

// openImage opens the only image, with its devices.
func (t *tool) openImage(env *cli.Env) (*erofsread.Image, error) {
	devices, _, err := openDevices(env, t.Device)
	if err != nil {
		return nil, err
	}
	in, err := env.Open(t.Images[0])
	if err != nil {
		return nil, err
	}
	file, size, err := random(in, env.SpoolDir(t.Output.Path, t.Temp.Dir))
	if err != nil {
		return nil, err
	}
	return erofsread.Open(file, size, devices...)
}

func (t *tool) merge(env *cli.Env) (tree.Source, error) {
	layers, err := t.openLayers(env)
	if err != nil {
		return nil, err
	}
	return t.mergeLayers(env, layers)
}

func (t *tool) mergeLayers(env *cli.Env, layers []merge.Layer) (tree.Source, error) {
	merged, err := merge.Layers(env.Context, layers, merge.Options{Limits: t.Limits.Tree(), Warn: env.Warn})
	if err != nil {
		return nil, err
	}
	return merged.Source(tree.Flat), nil
}

func (t *tool) openLayers(env *cli.Env) ([]merge.Layer, error) {
	devices, of, err := openDevices(env, t.Images)
	if err != nil {
		return nil, err
	}
	return merge.Open(devices, of)
}

func openDevices(env *cli.Env, paths []string) ([]erofsread.Device, []int, error) {
	var files []*os.File
	for _, path := range paths {
		f, err := env.OpenFile(path)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, f)
	}
	return erofsread.Devices(files)
}

// random returns in if it can be read at random, or else a copy of it in a spool file.
func random(in io.Reader, dir string) (io.ReaderAt, int64, error) {
	if f, ok := in.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return nil, 0, &fs.PathError{Op: "read", Path: f.Name(), Err: syscall.EISDIR}
		}
		size, err := f.Seek(0, io.SeekEnd)
		return f, size, err
	}
	spool, err := blockio.SpoolAll(dir, in) // it vanishes with the process
	if err != nil {
		return nil, 0, err
	}
	return spool, spool.Size(), nil
}
