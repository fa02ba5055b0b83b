// erofs2tree reads an EROFS image, or the images of several layers, and writes
// what is in it as a tree stream, in canonical order.
//
//	erofs2tree rootfs.erofs | tree2tar > rootfs.tar
package main

import (
	"errors"
	"io"
	"os"
	"strconv"

	"ocipipe/lib/blockio"
	"ocipipe/lib/cli"
	"ocipipe/lib/erofs"
	"ocipipe/lib/tree"
)

type tool struct {
	Images []string `arg:"" name:"image" help:"EROFS image; - is standard input, and a pipe is copied to a spool file first. Several are layers from bottom to top, and are merged: files that can be read at random."`
	Device []string `sep:"none" placeholder:"FILE" help:"Where the image has its data, as the layers of one of metadata alone: in the order of its table, each once."`

	cli.TreeForm

	cli.Output
	cli.Temp
	cli.Limits
}

func main() {
	cli.Main("erofs2tree", "Write the content of an EROFS image, or of layers merged, as a tree stream.", &tool{})
}

// Run writes the stream.
func (t *tool) Run(env *cli.Env) error {
	opts, err := t.TreeForm.Options("erofs2tree")
	if err != nil {
		return err
	}
	if len(t.Images) > 1 && len(t.Device) > 0 {
		return cli.Usage("--device is for a single image")
	}
	out, err := env.Stream(t.Output.Path, cli.Kind(opts.Data == tree.Inline))
	if err != nil {
		return err
	}
	src, err := t.open(env)
	if err != nil {
		err = cli.About(cli.Only(t.Images), err)
		tree.NewWriter(out, opts).Abort(err)
		return err
	}
	if len(t.Images) > 1 { // as tar2tree says of the same layers
		opts.Props = []tree.Property{{Key: "layers", Value: strconv.Itoa(len(t.Images))}}
	}
	err = env.Copy(cli.Only(t.Images), tree.NewWriter(out, opts), src)
	if errors.Is(err, erofs.ErrNoDevice) {
		return cli.Hint(err, "name the layers: --device FILE for each, bottom to top")
	}
	if err != nil {
		return err
	}
	return out.Commit()
}

// open opens the images, which are closed with the process.
func (t *tool) open(env *cli.Env) (tree.Source, error) {
	if len(t.Images) > 1 {
		return t.merge(env)
	}
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
	img, err := erofs.Open(file, size, devices...)
	if err != nil {
		return nil, err
	}
	return tree.Limit(img.Source(), t.Limits.Tree()), nil
}

func (t *tool) merge(env *cli.Env) (tree.Source, error) {
	devices, of, err := openDevices(env, t.Images)
	if err != nil {
		return nil, err
	}
	layers, err := erofs.OpenLayers(devices, of)
	if err != nil {
		return nil, err
	}
	merged, err := erofs.Merge(env.Context, layers, erofs.MergeOptions{Limits: t.Limits.Tree(), Warn: env.Warn})
	if err != nil {
		return nil, err
	}
	return merged.Source(tree.Flat), nil
}

func openDevices(env *cli.Env, paths []string) ([]erofs.Device, []int, error) {
	var files []*os.File
	for _, path := range paths {
		f, err := env.OpenFile(path)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, f)
	}
	return erofs.Devices(files)
}

// random is in, or a copy of it in a spool file where in cannot be read at random.
func random(in io.Reader, dir string) (io.ReaderAt, int64, error) {
	if f, ok := in.(*os.File); ok {
		size, err := f.Seek(0, io.SeekEnd)
		return f, size, err
	}
	spool, err := blockio.NewSpool(dir) // goes with the process
	if err != nil {
		return nil, 0, err
	}
	size, err := io.CopyBuffer(struct{ io.Writer }{spool}, struct{ io.Reader }{in}, make([]byte, 1<<20))
	return spool, size, err
}
