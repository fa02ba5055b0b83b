package oci

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"ocipipe/lib/blockio"
	"ocipipe/lib/compression"
	"ocipipe/lib/decompress"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/unzstd"
)

// openDocker waits for a docker archive and opens the image that tag names, or the only
// one.
func openDocker(ctx context.Context, a *archive, tag string, opts Options) (*Image, error) {
	if err := a.wait(ctx); err != nil {
		return nil, err
	}
	list, err := readDockerList(ctx, a, opts)
	if err != nil {
		return nil, err
	}
	di, err := pickDocker(list, tag)
	if err != nil {
		return nil, err
	}
	raw, err := readFile(ctx, a, cleanName(di.Config), opts.MetadataLimit())
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	conf, err := manifest.ParseConfig(raw)
	if err != nil {
		return nil, err
	}
	if n := len(conf.RootFS.DiffIDs); n != len(di.Layers) {
		return nil, fmt.Errorf("%w: %s lists %d layers, the configuration %d diff_ids", ErrCorrupt, manifest.DockerList, len(di.Layers), n)
	}
	b := &dockerBlobs{a: a, at: map[digest.Digest]place{}, limit: opts.layerLimit(), tmpDir: opts.TmpDir, window: opts.window()}
	l, err := newLoader(b, opts)
	if err == nil {
		err = l.compare(nil, conf.Platform)
	}
	if err != nil {
		return nil, err
	}
	img, err := b.image(ctx, di, raw, conf)
	if err != nil {
		b.Close()
		return nil, err
	}
	return img, nil
}

func readDockerList(ctx context.Context, a *archive, opts Options) ([]manifest.DockerImage, error) {
	data, err := readFile(ctx, a, manifest.DockerList, opts.MetadataLimit())
	if err != nil {
		return nil, err
	}
	var list []manifest.DockerImage
	if err := manifest.Decode(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", manifest.DockerList, err)
	}
	return list, nil
}

func readFile(ctx context.Context, a *archive, name string, limit int64) ([]byte, error) {
	r, _, err := a.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := ReadMetadata(r, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// pickDocker returns the image that tag names: in full or, if only one image has it, by the
// tag alone.
func pickDocker(list []manifest.DockerImage, tag string) (manifest.DockerImage, error) {
	if len(list) == 0 {
		return manifest.DockerImage{}, fmt.Errorf("%w: %s lists no image", ErrUnsupported, manifest.DockerList)
	}
	calls := []func(t string) bool{
		func(t string) bool { return tag == "" || t == tag || sameName(t, tag) },
		func(t string) bool { return strings.HasSuffix(t, ":"+tag) },
	}
	for _, isCalled := range calls {
		found := slices.DeleteFunc(slices.Clone(list), func(di manifest.DockerImage) bool {
			return !slices.ContainsFunc(di.RepoTags, isCalled) && tag != ""
		})
		switch len(found) {
		case 0:
			continue
		case 1:
			return found[0], nil
		}
		return manifest.DockerImage{}, ambiguous(tag, repoTags(found))
	}
	return manifest.DockerImage{}, fmt.Errorf("tag %q: %w: %s", tag, ErrNotFound, repoTags(list))
}

func repoTags(list []manifest.DockerImage) string {
	var names []string
	for _, di := range list {
		names = append(names, di.RepoTags...)
	}
	return choices(names)
}

// dockerBlobs holds the uncompressed layers of a docker archive by diff-id.
type dockerBlobs struct {
	a      *archive
	at     map[digest.Digest]place
	limit  int64
	tmpDir string
	window *unzstd.Window
}

// place says where a layer lies: in a file of the archive or, if it was compressed there,
// in a spool file.
type place struct {
	name  string
	spool *blockio.Spool
	size  int64
}

// image makes the image of di: it locates the layers and writes a manifest.
func (b *dockerBlobs) image(ctx context.Context, di manifest.DockerImage, raw []byte, conf manifest.Config) (*Image, error) {
	img := &Image{
		MediaType: string(types.OCIManifestSchema1),
		Config:    raw, ConfigMediaType: string(types.OCIConfigJSON), ConfigDigest: digest.FromBytes(raw),
		Platform: conf.Platform.String(), source: b, closers: []io.Closer{b},
	}
	if len(di.RepoTags) > 0 {
		img.Tag = di.RepoTags[0][strings.LastIndexByte(di.RepoTags[0], ':')+1:]
	}
	if err := b.locateAll(ctx, di.Layers, conf.RootFS.DiffIDs); err != nil {
		return nil, err
	}
	for i, id := range conf.RootFS.DiffIDs {
		d := manifest.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: id, Size: b.at[id].size}
		img.Layers = append(img.Layers, Layer{Index: i, Digest: id, DiffID: id, Size: d.Size,
			MediaType: string(d.MediaType), desc: d, source: b})
	}
	img.Manifest = canonicalManifest(img)
	img.Digest = digest.FromBytes(img.Manifest)
	return img, nil
}

// locateAll finds the layers ids in the files names, and unpacks compressed ones, in
// parallel. It returns the error of the lowest layer that has one.
func (b *dockerBlobs) locateAll(ctx context.Context, names []string, ids []digest.Digest) error {
	places, errs := make([]place, len(ids)), make([]error, len(ids))
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	seen := map[digest.Digest]bool{}
	for i, id := range ids {
		if errs[i] = checkDigest(id); errs[i] != nil || seen[id] {
			continue
		}
		seen[id] = true
		work.Go(func() error {
			places[i], errs[i] = b.locate(ctx, cleanName(names[i]))
			return nil
		})
	}
	work.Wait()
	for i, p := range places {
		if _, dup := b.at[ids[i]]; !dup {
			b.at[ids[i]] = p
		}
	}
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("layer %d: %.200s: %w", i, names[i], err)
		}
	}
	return nil
}

// locate finds the layer in the file name, and unpacks it if it is compressed.
func (b *dockerBlobs) locate(ctx context.Context, name string) (place, error) {
	r, size, err := b.a.open(ctx, name)
	if err != nil {
		return place{}, err
	}
	defer r.Close()
	br := bufio.NewReaderSize(r, copySize)
	if head, _ := br.Peek(compression.HeadSize); !compression.IsPlain(head) {
		return b.unpack(ctx, br)
	}
	return place{name: name, size: size}, nil
}

// unpack decompresses a layer to a spool file. It is verified when it is read from there.
func (b *dockerBlobs) unpack(ctx context.Context, r io.Reader) (p place, err error) {
	if p.spool, err = blockio.NewSpool(b.tmpDir); err != nil {
		return place{}, err
	}
	p.size, err = unpackTo(ctx, p.spool, r, b.window, b.limit)
	return p, err
}

// unpackTo decompresses a layer from r to w, limit bytes at most, and returns how many there
// were. What is wrong with the compression is ErrCorrupt; an error of r that names the layer
// stays what it is.
func unpackTo(ctx context.Context, w io.Writer, r io.Reader, window *unzstd.Window, limit int64) (int64, error) {
	plain, err := decompress.New(ctx, r, window)
	switch {
	case err == nil:
		defer plain.Close()
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case errors.As(err, new(*compression.Error)), errors.As(err, new(*LayerError)):
		return 0, err
	default:
		return 0, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	in := &counter{r: blockio.Stoppable(ctx, io.LimitReader(plain, limit+1))}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, in, make([]byte, copySize))
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case in.err != nil && !errors.As(in.err, new(*LayerError)):
		err = fmt.Errorf("%w: unpacked byte %d: %w", ErrCorrupt, n, in.err)
	case err == nil && n > limit:
		err = &LimitError{MaxLayer, limit}
	}
	return n, err
}

// Layer implements Source.
func (b *dockerBlobs) Layer(ctx context.Context, _ int, d manifest.Descriptor) (io.ReadCloser, error) {
	p, ok := b.at[d.Digest]
	switch {
	case !ok:
		return nil, fmt.Errorf("%s: %w", d.Digest, ErrNotFound)
	case p.spool != nil:
		return verifySized(io.NopCloser(p.spool.Section(0, p.size)), p.size, d)
	}
	r, size, err := b.a.open(ctx, p.name)
	if err != nil {
		return nil, err
	}
	return verifySized(r, size, d)
}

var errNoManifest = errors.New("a docker archive has no manifest")

// Manifest implements Source; nothing calls it.
func (b *dockerBlobs) Manifest(context.Context, manifest.Descriptor) (io.ReadCloser, error) {
	return nil, errNoManifest
}

// Config implements Source; nothing calls it.
func (b *dockerBlobs) Config(context.Context, manifest.Descriptor) (io.ReadCloser, error) {
	return nil, errNoManifest
}

// Close frees the unpacked layers, not the archive.
func (b *dockerBlobs) Close() error {
	var errs []error
	for _, p := range b.at {
		if p.spool != nil {
			errs = append(errs, p.spool.Close())
		}
	}
	return errors.Join(errs...)
}

// canonicalManifest returns a manifest for an image that has none.
func canonicalManifest(img *Image) []byte {
	m := struct {
		manifest.Document
		Layers []manifest.Descriptor `json:"layers"`
	}{
		Document: manifest.Document{
			SchemaVersion: 2,
			MediaType:     types.OCIManifestSchema1,
			Config:        &manifest.Descriptor{MediaType: types.OCIConfigJSON, Digest: img.ConfigDigest, Size: int64(len(img.Config))},
		},
		Layers: make([]manifest.Descriptor, 0, len(img.Layers)),
	}
	for _, l := range img.Layers {
		m.Layers = append(m.Layers, l.desc)
	}
	return manifest.Encode(m)
}
