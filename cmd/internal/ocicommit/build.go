package ocicommit

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/registryflags"
	"ocipipe/lib/commit"
	"ocipipe/lib/compression"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/printable"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/snapshot"
)

// build holds what an image is made of.
type build struct {
	*tool
	env  *cli.Env
	opts commit.Options

	base   *pull.Image // nil for scratch
	layers []*commit.Layer
}

// image makes the new image. The base is downloaded while the layers are read.
func (b *build) image() (*oci.Image, error) {
	base, err := b.openBase()
	if err != nil {
		return nil, err
	}
	take := commit.TakeOptions{
		Compression: kinds[b.Compress], TmpDir: b.spoolDir(b.env), Limits: b.Tree.Tree(), AllowUnterminated: b.AllowUnterminated,
	}
	for _, path := range b.Layer {
		if err := b.take(path, take); err != nil {
			return nil, cli.About(path, err)
		}
	}
	added := b.layers
	if b.SquashBase {
		l, err := commit.Squash(b.env.Context, base, added, take, b.env.Warn)
		if err != nil {
			return nil, err
		}
		b.layers, added = append(b.layers, l), []*commit.Layer{l}
	}
	img, err := commit.Build(b.env.Context, base, added, b.opts)
	return img, cli.About(b.Base, err)
}

var kinds = map[string]compression.Kind{"gzip": compression.Gzip, "zstd": compression.Zstd, "none": compression.Plain}

// openBase opens the base, and begins to download it. It returns nil for scratch.
func (b *build) openBase() (*oci.Image, error) {
	if b.Base == scratch {
		return nil, nil
	}
	opts, err := b.pullOptions()
	if err != nil {
		return nil, err
	}
	var pin *snapshot.Pin
	if b.Pin != "" {
		if pin, err = b.readPin(); err != nil {
			return nil, err
		}
	}
	if b.base, err = pull.Open(b.env.Context, b.Base, opts); err != nil {
		return nil, err
	}
	if pin != nil {
		if err := matches(pin, b.base.Image); err != nil {
			return nil, cli.About(b.Base, err)
		}
	}
	if ref, ok := b.base.Ref(); ok && !oci.IsLocal(b.Base) {
		b.opts.BaseName = ref.Name
	}
	if b.DryRun && !b.SquashBase { // no layer of it is read
		return b.base.Image, nil
	}
	return b.base.Image, cli.About(b.base.Name, b.base.Prefetch())
}

func (b *build) pullOptions() (pull.Options, error) {
	opts := pull.Options{
		Image:    oci.Options{TmpDir: b.spoolDir(b.env), OpenFile: b.env.Open, Reads: b.env.Reads, Warn: b.env.Warn},
		Progress: registryflags.ShowLayers(b.env.Progress()),
	}
	b.Choice.Fill(&opts.Image)
	b.Limits.Fill(&opts.Image)
	if oci.IsLocal(b.Base) {
		return opts, nil
	}
	err := b.Registry.Fill(b.env, &opts)
	if err == nil {
		err = b.Cache.Fill(b.env, &opts)
	}
	return opts, err
}

// take reads the layer in the file path.
func (b *build) take(path string, opts commit.TakeOptions) error {
	in, err := b.env.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	_, isFile := in.(*os.File)
	opts.Piped = !isFile
	l, err := commit.Take(b.env.Context, in, opts)
	if err != nil {
		return err
	}
	b.layers = append(b.layers, l)
	return nil
}

// finish reads a base from a pipe to its end, and notes in the cache that it was used.
func (b *build) finish() error {
	if b.base == nil {
		return nil
	}
	if err := b.base.Drain(b.env.Context); err != nil {
		return cli.About(b.base.Name, err)
	}
	if !b.DryRun {
		b.base.Record(b.env.Context)
	}
	return nil
}

func (b *build) close() {
	for _, l := range b.layers {
		l.Close()
	}
	if b.base != nil {
		b.base.Close()
	}
}

// readPin reads the JSON of oci-materialize, or the pin of the snapshot in a directory.
func (b *build) readPin() (*snapshot.Pin, error) {
	path := b.Pin
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		dir, err := snapshot.OpenDirectory(path)
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		for _, p := range dir.Paths() {
			if err := b.env.Reads(p); err != nil {
				return nil, err
			}
		}
		pin, _, err := snapshot.PinOf(&dir.Info)
		return pin, cli.About(path, err)
	}
	in, err := b.env.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var limits oci.Options
	b.Limits.Fill(&limits)
	data, err := oci.ReadMetadata(in, limits.MetadataLimit())
	if err != nil {
		return nil, cli.About(path, err)
	}
	pin, err := snapshot.ParsePin(data)
	return pin, cli.About(path, err)
}

// matches returns an error if img is not the image of the pin.
func matches(p *snapshot.Pin, img *oci.Image) error {
	if p.Manifest != img.Digest {
		return fmt.Errorf("the base is the image %s, the pin says %s", img.Digest, p.Manifest)
	}
	if p.Platform != "" && p.Platform != img.Platform {
		return fmt.Errorf("the base is for %s, the pin says %.60q", img.Platform, p.Platform)
	}
	ids := p.Layers
	same := slices.EqualFunc(img.Layers, ids, func(l oci.Layer, id digest.Digest) bool { return l.DiffID == id })
	if len(ids) > 0 && !same {
		return fmt.Errorf("the pin has other diff-ids of layers than the base")
	}
	return nil
}

// summary prints what the image will be.
func summary(w io.Writer, img *oci.Image) error {
	_, err := w.Write(printable.Encode(struct {
		Digest    string          `json:"digest"`
		MediaType string          `json:"media_type"`
		Manifest  json.RawMessage `json:"manifest"`
		Config    json.RawMessage `json:"config"`
	}{img.Digest.String(), img.MediaType, img.Manifest, img.Config}))
	return err
}
