package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cli"
	"ocipipe/lib/compression"
	"ocipipe/lib/layer"
	"ocipipe/lib/oci"
	"ocipipe/lib/tree"
)

// sniffed is how far a tar is looked into for its first name.
const sniffed = 64 << 10

// open makes a source of what the command line names, and the properties that
// say where it comes from.
func (t *tool) open(env *cli.Env) (tree.Source, []tree.Property, error) {
	if len(t.Inputs) > 1 {
		return t.openLayers(env)
	}
	path := "-"
	if len(t.Inputs) == 1 {
		path = t.Inputs[0]
	}
	if info, err := os.Stat(path); path != "-" && err == nil && info.IsDir() {
		img, err := oci.OpenPath(env.Context, path, t.imageOptions(env))
		if err != nil {
			return nil, nil, err
		}
		return t.openImage(env, img)
	}
	f, err := env.Open(path)
	if errors.Is(err, fs.ErrNotExist) && strings.Contains(path, ":") {
		return nil, nil, cli.Hint(err, "oci-fetch takes references: oci-fetch "+path+" | tar2tree")
	}
	if err != nil {
		return nil, nil, err
	}
	in, isImage, err := t.sniff(env, f)
	if err != nil {
		return nil, nil, err
	}
	if !isImage {
		return t.openLayer(env, in)
	}
	img, err := oci.OpenArchive(env.Context, in, t.imageOptions(env))
	if err != nil {
		return nil, nil, err
	}
	return t.openImage(env, img)
}

// sniff finds out whether f holds an image, and returns a reader of all of f: f
// itself if it is a regular file, which can be read at random.
func (t *tool) sniff(env *cli.Env, f *os.File) (in io.Reader, isImage bool, err error) {
	var head []byte
	if off, err := f.Seek(0, io.SeekCurrent); err == nil {
		buf := make([]byte, sniffed)
		n, err := f.ReadAt(buf, off)
		if err != nil && err != io.EOF {
			return nil, false, err
		}
		in, head = f, buf[:n]
	} else {
		b := bufio.NewReaderSize(f, 1<<20)
		if head, err = b.Peek(sniffed); err != nil && err != io.EOF {
			return nil, false, err
		}
		in = b
	}
	if _, err := compression.Detect(head); err != nil {
		return nil, false, unpackFirst(err, f.Name())
	}
	switch t.Input {
	case "layer":
		return in, false, nil
	case "image":
		return in, true, nil
	}
	if name := layer.FirstName(head); name != "" {
		return in, oci.IsArchiveName(name), nil
	}
	if oci.IsArchiveName(layer.FirstName(unpack(head))) {
		env.Warn("the compressed input, taken for a layer, looks like an image archive; --input=image takes it for one")
	}
	return in, false, nil
}

// unpackFirst says how an input is read whose compression is not.
func unpackFirst(err error, path string) error {
	var unread *compression.Error
	switch {
	case !errors.As(err, &unread):
		return err
	case path == os.Stdin.Name():
		return cli.Hint(err, "... | "+unread.Unpacker+" | tar2tree")
	}
	return cli.Hint(fmt.Errorf("%s: %w", path, err), unread.Unpacker+" "+path+" | tar2tree")
}

// unpack is the beginning of what head, the beginning of a compressed stream, holds.
func unpack(head []byte) []byte {
	z, err := layer.Decompress(bytes.NewReader(head))
	if err != nil {
		return nil
	}
	defer z.Close()
	buf := make([]byte, 8<<10)
	n, _ := io.ReadFull(z, buf) // whoever reads all of it says what is wrong
	return buf[:n]
}

// openLayers merges the layers that the arguments name.
func (t *tool) openLayers(env *cli.Env) (tree.Source, []tree.Property, error) {
	if t.Layer != "" || t.ConfigFile != "" || t.DiffID != "" || t.Sort || t.Input == "image" {
		return nil, nil, cli.Usage("--layer, --config-file, --diff-id, --sort and --input=image take a single input")
	}
	var inputs []layer.Input
	for _, path := range t.Inputs {
		inputs = append(inputs, layer.Input{
			Name:    path,
			Options: t.layerOptions(env, ""),
			Open:    func() (io.ReadCloser, error) { return env.Open(path) },
		})
	}
	merged, err := layer.Merge(inputs, t.loadOptions(env))
	if err != nil {
		return nil, nil, err
	}
	return merged.Source(tree.Flat), []tree.Property{{Key: "layers", Value: strconv.Itoa(len(inputs))}}, nil
}

// openLayer passes a single layer on.
func (t *tool) openLayer(env *cli.Env, in io.Reader) (tree.Source, []tree.Property, error) {
	if t.Layer != "" || t.ConfigFile != "" {
		return nil, nil, cli.Usage("--layer and --config-file need an image; the input is a layer")
	}
	r, ok := in.(io.ReadCloser)
	if !ok {
		r = io.NopCloser(in)
	}
	var props []tree.Property
	if t.DiffID != "" {
		props = append(props, tree.Property{Key: "diff-id", Value: string(t.DiffID)})
	}
	src, err := t.oneLayer(env, layer.Input{
		Options: t.layerOptions(env, t.DiffID),
		Open:    func() (io.ReadCloser, error) { return r, nil },
	})
	return src, props, err
}

// oneLayer is the source of a layer with its marks.
func (t *tool) oneLayer(env *cli.Env, in layer.Input) (tree.Source, error) {
	if t.Sort {
		loaded, err := layer.Load(in, t.loadOptions(env))
		if err != nil {
			return nil, err
		}
		return loaded.Source(tree.Layer), nil
	}
	r, err := in.Open()
	if err != nil {
		return nil, err
	}
	src, err := layer.NewReader(r, in.Options)
	if err != nil {
		return nil, err
	}
	return tree.Limit(src, t.Limits), nil
}

// openImage merges the layers of img, or takes the one that was asked for. The
// image is closed with the process.
func (t *tool) openImage(env *cli.Env, img *oci.Image) (tree.Source, []tree.Property, error) {
	if t.DiffID != "" {
		return nil, nil, cli.Usage("--diff-id is for a single layer; an image says its own")
	}
	props := []tree.Property{{Key: "manifest", Value: string(img.Digest)}}
	if t.Layer != "" {
		l, err := img.Layer(t.Layer)
		if err != nil {
			return nil, nil, err
		}
		src, err := t.oneLayer(env, t.layerInput(env, l))
		return src, append(props, tree.Property{Key: "diff-id", Value: string(l.DiffID)}), err
	}
	var inputs []layer.Input
	for i := range img.Layers {
		inputs = append(inputs, t.layerInput(env, &img.Layers[i]))
	}
	merged, err := layer.Merge(inputs, t.loadOptions(env))
	if err != nil {
		return nil, nil, err
	}
	if t.ConfigFile != "" {
		if err := merged.PutFile(t.ConfigFile, img.Config); err != nil {
			return nil, nil, err
		}
	}
	props = append(props, tree.Property{Key: "layers", Value: strconv.Itoa(len(inputs))})
	return merged.Source(tree.Flat), props, img.Finish(env.Context)
}

func (t *tool) layerInput(env *cli.Env, l *oci.Layer) layer.Input {
	return layer.Input{
		Name:    "layer " + strconv.Itoa(l.Index),
		Options: t.layerOptions(env, l.DiffID),
		Open:    func() (io.ReadCloser, error) { return l.Open(env.Context) },
	}
}

func (t *tool) layerOptions(env *cli.Env, diffID digest.Digest) layer.Options {
	return layer.Options{
		DiffID:            diffID,
		AllowUnterminated: t.AllowUnterminated,
		AllowZeroDevice:   t.AllowZeroDevice,
		Limits:            t.Limits,
		SpoolDir:          env.SpoolDir(t.Output.Path, t.Temp.Dir),
		Warn:              env.Warn,
	}
}

func (t *tool) loadOptions(env *cli.Env) layer.LoadOptions {
	return layer.LoadOptions{Jobs: t.Jobs, SpoolDir: env.SpoolDir(t.Output.Path, t.Temp.Dir), Limits: t.Limits}
}

func (t *tool) imageOptions(env *cli.Env) oci.Options {
	return oci.Options{
		Platform: t.Platform,
		TmpDir:   env.SpoolDir(t.Output.Path, t.Temp.Dir),
		OpenFile: env.Open,
		Warn:     env.Warn,
	}
}
