package materialize

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"ocipipe/lib/cas"
	"ocipipe/lib/imagecache"
	"ocipipe/lib/layout"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/platform"
)

// ABI is the version of the artifacts that this package makes.
const ABI = imagecache.ABI

// Materialize makes the artifacts of an image that opts ask for, or finds them in the cache.
// After success all of them are complete and durable, every layer of the image has been
// verified, and the cache lists the image, if it can be written. When ctx is done,
// Materialize stops and returns its cause. An error about one layer is a [*LayerError] or
// an oci.LayerError.
//
// Materialize may run several times at once, in one process or in many, over the same
// cache.
func Materialize(ctx context.Context, opts Options) (*Result, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	start := time.Now()
	m := &materializer{opts: opts, cache: opts.Pull.Cache}
	if err := m.open(ctx); err != nil {
		return nil, err
	}
	defer m.close()
	m.result.Seconds.Resolve = seconds(start)
	if err := m.build(ctx); err != nil {
		return nil, m.named(err)
	}
	m.result.Hit = !m.built.Load()
	if err := m.record(ctx); err != nil {
		return nil, err
	}
	m.tidy(ctx)
	if err := m.commitUpper(); err != nil {
		return nil, err
	}
	m.result.Seconds.Total = seconds(start)
	return &m.result, nil
}

// open opens the image, and tells the cache what is going to be used.
func (m *materializer) open(ctx context.Context) error {
	o := m.opts.Pull
	o.Image.Warn = m.opts.Warn
	o.Progress = m.opts.pulled
	img, err := pull.Open(ctx, m.opts.Ref, o)
	if err != nil {
		return err
	}
	m.img = img
	if err := m.describe(); err != nil {
		m.close()
		return m.named(err)
	}
	m.layers = m.distinctLayers()
	m.use, err = m.cache.Use(ctx, string(img.Digest.Encoded()), m.names())
	if err != nil && !errors.Is(err, cas.ErrStore) {
		m.close()
		return err
	}
	return nil
}

// named adds the name of the image to err, unless err is about a file or the upper disk.
func (m *materializer) named(err error) error {
	if errors.As(err, new(*fs.PathError)) || errors.As(err, new(*UpperError)) {
		return err
	}
	return fmt.Errorf("%s: %w", m.img.Name, err)
}

// describe fills in what is known of the image before anything is built.
func (m *materializer) describe() error {
	img, r := m.img, &m.result
	run, err := manifest.ParseRun(img.Config)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(m.cache.Dir())
	if err != nil {
		return err
	}
	m.dir = dir
	*r = Result{
		Version:  1,
		Manifest: Blob{img.Digest, int64(len(img.Manifest)), img.MediaType},
		Config:   Blob{img.ConfigDigest, int64(len(img.Config)), img.ConfigMediaType},
		Platform: img.Platform, Process: run, Cache: dir, ABI: ABI, Compression: m.opts.describeCompression(), Layers: make([]Layer, len(img.Layers)),
	}
	if ref, ok := img.Ref(); ok {
		r.Reference = ref.Name
		if ref.Top != "" {
			r.Index = &Index{ref.Top}
		}
	}
	for i, l := range img.Layers {
		r.Layers[i] = Layer{Digest: l.Digest, DiffID: l.DiffID, Size: l.Size, MediaType: l.MediaType}
	}
	return nil
}

// build makes the artifacts: first those of layers, and of these all others, which do not
// need each other except that the disk needs the fsmeta image. Those that fail soonest come
// first.
func (m *materializer) build(ctx context.Context) error {
	if err := m.buildLayers(ctx); err != nil {
		return err
	}
	if err := m.img.Drain(ctx); err != nil {
		return err
	}
	work, target := newParts(-1), m.opts.target()
	if m.opts.Upper != nil {
		work.start(ctx, 0, m.buildUpper)
	}
	if target.fsmeta() {
		work.start(ctx, 1, func(ctx context.Context) error {
			if err := m.buildFsmeta(ctx); err != nil || !target.vmdk() {
				return err
			}
			return m.buildVMDK(ctx)
		})
	}
	if target.flat() {
		work.start(ctx, 2, m.buildFlat)
	}
	return work.wait(ctx)
}

// record lists the image in the cache.
func (m *materializer) record(ctx context.Context) error {
	if m.use == nil { // the cache cannot be written
		return nil
	}
	if used := m.opts.Pull.Used; !used.IsZero() { // the manifest may be there only now
		defer m.cache.Touch(m.img.Digest, used)
	}
	if _, named := m.img.Ref(); !named {
		return m.recordUnnamed(ctx)
	}
	if m.opts.DropBlobs || !m.img.Record(ctx) {
		m.img.RecordDropped(ctx)
	}
	return context.Cause(ctx)
}

// recordUnnamed lists an image in a file, of which the cache keeps no layers, under its
// digest.
func (m *materializer) recordUnnamed(ctx context.Context) error {
	img := m.img
	err := m.cache.Put(ctx, img.ConfigDigest, img.Config)
	if err == nil {
		err = m.cache.Put(ctx, img.Digest, img.Manifest)
	}
	if err != nil {
		return err
	}
	p, err := platform.Parse(img.Platform)
	if err != nil {
		p = platform.Platform{}
	}
	return m.cache.SetRef(ctx, cas.Ref{
		Name: img.Digest.String(), MediaType: img.MediaType, Digest: img.Digest, Size: int64(len(img.Manifest)),
		Platform: &p, Dropped: true,
	}, nil)
}

// tidy removes from the cache what the options do not want there. What it cannot remove is
// for another time.
func (m *materializer) tidy(ctx context.Context) {
	if m.use == nil {
		return
	}
	m.img.Close() // the blobs of layers are not in use any more
	var err error
	if m.opts.DropBlobs {
		var blobs []string
		for _, l := range m.img.Layers {
			blobs = append(blobs, layout.BlobName(l.Digest))
		}
		_, err = imagecache.RemoveUnheld(ctx, m.cache, blobs)
	}
	if err == nil && m.opts.MaxCacheSize > 0 {
		_, err = imagecache.Prune(ctx, m.cache, imagecache.PruneOptions{MaxSize: &m.opts.MaxCacheSize})
	}
	if err != nil && ctx.Err() == nil {
		m.opts.warn("%v", err)
	}
}

func (m *materializer) close() {
	for _, l := range m.layers {
		l.close()
	}
	m.fsmeta.close()
	if m.upper != nil {
		m.upper.Abort()
	}
	m.img.Close()
	if m.use != nil {
		m.use.Release()
	}
}

func seconds(since time.Time) float64 {
	return float64(time.Since(since).Microseconds()) / 1e6
}
