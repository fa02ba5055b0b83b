package pull

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/osfile"
)

// known returns what the cache has under the name of the image: the index that the image
// was taken from, or the manifest.
func (r *remote) known(ctx context.Context) (manifest.Descriptor, bool) {
	if r.cache == nil {
		return manifest.Descriptor{}, false
	}
	refs, err := r.cache.Refs(r.name)
	if err != nil {
		r.opts.warn("%v", err)
	}
	for _, ref := range refs {
		r.hold(ctx, ref.Top, ref.Digest)
		if ref.Top != "" && layout.CheckDigest(ref.Top) == nil && r.has(ref.Top) {
			return manifest.Descriptor{Digest: ref.Top, Size: -1}, true
		}
		if ref.Top == "" && r.has(ref.Digest) {
			return manifest.Descriptor{MediaType: types.MediaType(ref.MediaType), Digest: ref.Digest, Size: ref.Size}, true
		}
	}
	return manifest.Descriptor{}, false
}

// hold keeps blobs that the cache has, or will have, until r is closed, whatever removes
// unused files from the cache meanwhile. Callers look for a blob after hold, not before.
// Where the cache cannot be written nothing is held.
func (r *remote) hold(ctx context.Context, blobs ...digest.Digest) {
	if r.cache == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, d := range blobs {
		if !r.held[d] && layout.CheckDigest(d) == nil {
			r.held[d] = true
			names = append(names, layout.BlobName(d))
		}
	}
	if names == nil {
		return
	}
	if r.use != nil {
		r.use.Add(ctx, names)
	} else if use, err := r.cache.Use(ctx, "pull", names); err == nil {
		r.use = use
	}
}

// has reports whether the cache has the blob d.
func (r *remote) has(d digest.Digest) bool {
	if r.cache == nil {
		return false
	}
	b, err := r.cache.Blob(r.ctx, d)
	if err != nil {
		return false
	}
	b.Close()
	return true
}

// absent returns the error of the policy Never if what is missing.
func (r *remote) absent(what string) error {
	e := &AbsentError{What: what}
	if r.cache != nil {
		e.Cache = r.cache.Dir()
	}
	return e
}

// cached reads a document from the cache. A document that does not have its digest counts
// as missing.
func (r *remote) cached(d manifest.Descriptor) ([]byte, bool) {
	if r.cache == nil {
		return nil, false
	}
	b, err := r.cache.Blob(r.ctx, d.Digest)
	if err != nil {
		return nil, false
	}
	defer b.Close()
	data, err := oci.ReadMetadata(b, r.opts.Image.MetadataLimit())
	if err == nil && d.Digest.Algorithm().FromBytes(data) == d.Digest {
		return data, true
	}
	r.passOver(d.Digest)
	return nil, false
}

func (r *remote) passOver(d digest.Digest) {
	r.opts.warn("cache %s: %s is corrupt: not used", r.cache.Dir(), d)
	if err := r.cache.PassOver(d); err != nil {
		r.opts.warn("%v", err)
	}
}

// keep puts a document into the cache.
func (r *remote) keep(ctx context.Context, d digest.Digest, data []byte) {
	if r.cache == nil {
		return
	}
	if err := r.cache.Put(ctx, d, data); err != nil && ctx.Err() == nil {
		r.warnStore(err)
	}
}

// warnStore warns once that the cache cannot be written, unless it is meant to be
// read-only.
func (r *remote) warnStore(err error) {
	if errors.Is(err, fs.ErrPermission) || osfile.IsReadOnly(err) {
		return
	}
	r.warned.Do(func() { r.opts.warn("%v: going on without keeping what is fetched", err) })
}

// Record lists an image that has a name in the cache under that name, if the cache has all
// of it, so that the next Open finds it without asking the registry. It reports whether the
// image is listed. First it waits for the downloads that have begun. It does nothing
// without a cache. If the cache cannot be written, it warns.
func (img *Image) Record(ctx context.Context) bool { return img.record(ctx, false) }

// RecordDropped is Record for an image whose layers the cache need not have: the next Open
// finds its manifest and configuration.
func (img *Image) RecordDropped(ctx context.Context) bool { return img.record(ctx, true) }

func (img *Image) record(ctx context.Context, dropped bool) bool {
	r := img.remote
	if r == nil || r.cache == nil || r.opts.Policy == Never {
		return false
	}
	r.waitForDownloads(ctx)
	// Documents that were embedded in a descriptor are not in the cache yet.
	r.keep(ctx, img.Digest, img.Manifest)
	r.keep(ctx, img.ConfigDigest, img.Config)
	blobs := []digest.Digest{img.ConfigDigest}
	for i := range img.Layers {
		d := img.Layers[i].Descriptor()
		if d.Data != nil {
			r.keep(ctx, d.Digest, d.Data)
		}
		if !dropped {
			blobs = append(blobs, d.Digest)
		}
	}
	if img.top != "" {
		blobs = append(blobs, img.top)
	}
	ref, _ := img.Ref()
	ref.Dropped = dropped
	err := r.cache.SetRef(ctx, ref, blobs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
		r.warnStore(err)
	}
	return err == nil
}

// Distrust hashes the blob of l in the cache, and reports whether it is damaged. If so, the
// next Open of the layer fetches it again. The caller has found that its content is wrong.
func (img *Image) Distrust(ctx context.Context, l *oci.Layer) bool {
	r := img.remote
	if r == nil || r.cache == nil {
		return false
	}
	b, err := r.cache.Blob(ctx, l.Digest)
	if err != nil {
		return false
	}
	defer b.Close()
	h := l.Digest.Algorithm().Hash()
	if _, err := copyBytes(h, b); err == nil && b.Size == l.Size && digest.NewDigest(l.Digest.Algorithm(), h) == l.Digest {
		return false
	}
	r.passOver(l.Digest)
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := r.downloads[l.Digest]; d != nil {
		d.close()
		delete(r.downloads, l.Digest)
	}
	return true
}

// waitForDownloads waits for the downloads that have begun: a reader may have read all of a
// layer before the layer is in its place.
func (r *remote) waitForDownloads(ctx context.Context) {
	r.mu.Lock()
	list := slices.Collect(maps.Values(r.downloads))
	r.mu.Unlock()
	for _, d := range list {
		select {
		case <-d.ended:
		case <-ctx.Done():
		}
	}
}

// Settle waits until the download of l, if one has begun, is over. Then the blob is in the
// cache, unless it cannot be kept.
func (img *Image) Settle(ctx context.Context, l *oci.Layer) error {
	r := img.remote
	if r == nil {
		return nil
	}
	r.mu.Lock()
	d := r.downloads[l.Digest]
	r.mu.Unlock()
	if d == nil {
		return nil
	}
	select {
	case <-d.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
