package oci

import (
	"bufio"
	"context"
	"encoding/json"
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
	"ocipipe/lib/unzstd"
)

// dockerImage is an element of manifest.json in an archive of docker save.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// openDocker opens the image that tag names, or the only one, of a docker
// archive, all of which has arrived.
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
	raw, err := readFile(ctx, a, cleanName(di.Config), opts.maxMetadata())
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	conf, err := parseConfig(raw)
	if err != nil {
		return nil, err
	}
	if n := len(conf.RootFS.DiffIDs); n != len(di.Layers) {
		return nil, fmt.Errorf("%w: %s lists %d layers, the configuration %d diff_ids", ErrCorrupt, dockerName, len(di.Layers), n)
	}
	b := &dockerBlobs{a: a, at: map[digest.Digest]place{}, limit: opts.maxLayer(), tmpDir: opts.TmpDir, window: opts.window()}
	l, err := newLoader(b, opts)
	if err == nil {
		err = l.compare(nil, conf.platform)
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

func readDockerList(ctx context.Context, a *archive, opts Options) ([]dockerImage, error) {
	data, err := readFile(ctx, a, dockerName, opts.maxMetadata())
	if err != nil {
		return nil, err
	}
	var list []dockerImage
	if err := decode(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", dockerName, err)
	}
	return list, nil
}

func readFile(ctx context.Context, a *archive, name string, max int64) ([]byte, error) {
	r, _, err := a.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := readLimited(r, max)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// pickDocker returns the image that tag names, in full or, if only one image has
// it, by the tag alone.
func pickDocker(list []dockerImage, tag string) (dockerImage, error) {
	if len(list) == 0 {
		return dockerImage{}, fmt.Errorf("%w: %s lists no image", ErrUnsupported, dockerName)
	}
	calls := []func(t string) bool{
		func(t string) bool { return tag == "" || t == tag || sameName(t, tag) },
		func(t string) bool { return strings.HasSuffix(t, ":"+tag) },
	}
	for _, isCalled := range calls {
		found := slices.DeleteFunc(slices.Clone(list), func(di dockerImage) bool {
			return !slices.ContainsFunc(di.RepoTags, isCalled) && tag != ""
		})
		switch len(found) {
		case 0:
			continue
		case 1:
			return found[0], nil
		}
		return dockerImage{}, ambiguous(tag, repoTags(found))
	}
	return dockerImage{}, fmt.Errorf("tag %q: %w: %s", tag, ErrNotFound, repoTags(list))
}

func repoTags(list []dockerImage) string {
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

// place is where a layer lies: in a file of the archive or, if it was compressed
// there, in a spool file.
type place struct {
	name  string
	spool *blockio.Spool
	size  int64
}

// image makes the image of di: its layers located, its manifest written.
func (b *dockerBlobs) image(ctx context.Context, di dockerImage, raw []byte, conf configFile) (*Image, error) {
	img := &Image{
		MediaType: string(types.OCIManifestSchema1),
		Config:    raw, ConfigMediaType: string(types.OCIConfigJSON), ConfigDigest: digest.FromBytes(raw),
		Platform: conf.platform.String(), blobs: b, closers: []io.Closer{b},
	}
	if len(di.RepoTags) > 0 {
		img.Tag = di.RepoTags[0][strings.LastIndexByte(di.RepoTags[0], ':')+1:]
	}
	if err := b.locateAll(ctx, di.Layers, conf.RootFS.DiffIDs); err != nil {
		return nil, err
	}
	for i, id := range conf.RootFS.DiffIDs {
		d := descriptor{MediaType: types.OCIUncompressedLayer, Digest: id, Size: b.at[id].size}
		img.Layers = append(img.Layers, Layer{Index: i, Digest: id, DiffID: id, Size: d.Size,
			MediaType: string(d.MediaType), desc: d, blobs: b})
	}
	img.Manifest = canonicalManifest(img)
	img.Digest = digest.FromBytes(img.Manifest)
	return img, nil
}

// locateAll finds the layers ids in the files names, and unpacks in parallel
// those that it must. The error is that of the lowest layer that has one.
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

// locate finds the layer in the file name, and unpacks it if it must.
func (b *dockerBlobs) locate(ctx context.Context, name string) (place, error) {
	r, size, err := b.a.open(ctx, name)
	if err != nil {
		return place{}, err
	}
	defer r.Close()
	br := bufio.NewReaderSize(r, copySize)
	if head, _ := br.Peek(compression.HeadSize); !isPlain(head) {
		return b.unpack(ctx, br)
	}
	return place{name: name, size: size}, nil
}

// unpack decompresses a layer to a spool file. Whether it is the right one is
// found when it is read.
func (b *dockerBlobs) unpack(ctx context.Context, r *bufio.Reader) (place, error) {
	plain, done, err := decompress(ctx, r, b.window)
	if unread := (*compression.Error)(nil); errors.As(err, &unread) {
		return place{}, err
	} else if err != nil {
		return place{}, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	defer done()
	p := place{}
	if p.spool, err = blockio.NewSpool(b.tmpDir); err != nil {
		return place{}, err
	}
	in := &counter{r: io.LimitReader(plain, b.limit+1)}
	p.size, err = io.CopyBuffer(struct{ io.Writer }{p.spool}, in, make([]byte, copySize))
	switch {
	case in.err != nil:
		err = fmt.Errorf("%w: unpacked byte %d: %v", ErrCorrupt, p.size, in.err)
	case err == nil && p.size > b.limit:
		err = fmt.Errorf("%w: unpacks to more than %d bytes (limit --max-layer)", ErrUnsupported, b.limit)
	}
	return p, err
}

func (b *dockerBlobs) blob(ctx context.Context, d descriptor) (io.ReadCloser, int64, error) {
	p, ok := b.at[d.Digest]
	switch {
	case !ok:
		return nil, 0, fmt.Errorf("%s: %w", d.Digest, ErrNotFound)
	case p.spool != nil:
		return io.NopCloser(p.spool.Section(0, p.size)), p.size, nil
	}
	return b.a.open(ctx, p.name)
}

func (b *dockerBlobs) manifest(context.Context, descriptor) (io.ReadCloser, int64, error) {
	return nil, 0, errors.New("a docker archive has no manifest")
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

// canonicalManifest writes the manifest of an image that has none.
func canonicalManifest(img *Image) []byte {
	m := struct {
		document
		Layers []descriptor `json:"layers"`
	}{
		document: document{
			SchemaVersion: 2,
			MediaType:     types.OCIManifestSchema1,
			Config:        &descriptor{MediaType: types.OCIConfigJSON, Digest: img.ConfigDigest, Size: int64(len(img.Config))},
		},
		Layers: make([]descriptor, 0, len(img.Layers)),
	}
	for _, l := range img.Layers {
		m.Layers = append(m.Layers, l.desc)
	}
	return mustJSON(m)
}

// mustJSON encodes our own structs, which always can be.
func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
