package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"ocipipe/lib/cas"
)

// known is what the cache has under the name of the image: the index that it was
// taken from, or the manifest.
func (r *remote) known() (descriptor, bool) {
	if r.cache == nil {
		return descriptor{}, false
	}
	refs, err := r.cache.Refs(r.name)
	if err != nil {
		r.opts.warn("%v", err)
	}
	for _, ref := range refs {
		if ref.Top != "" && checkDigest(ref.Top) == nil && r.has(ref.Top) {
			return descriptor{Digest: ref.Top, Size: -1}, true
		}
		if ref.Top == "" && r.has(ref.Digest) {
			return descriptor{MediaType: types.MediaType(ref.MediaType), Digest: ref.Digest, Size: ref.Size}, true
		}
	}
	return descriptor{}, false
}

// has reports whether the cache has the blob d.
func (r *remote) has(d digest.Digest) bool {
	if r.cache == nil {
		return false
	}
	b, err := r.cache.Blob(d)
	if err != nil {
		return false
	}
	b.Close()
	return true
}

// absent is the error of PullNever for what.
func (r *remote) absent(what string) error {
	if r.cache == nil {
		return fmt.Errorf("%w: %s: there is no cache (--pull never)", ErrNotFound, what)
	}
	return fmt.Errorf("%w in the cache %s: %s (--pull never)", ErrNotFound, r.cache.Dir(), what)
}

// cached reads a document that the cache has. One that is not what it should be
// is passed over.
func (r *remote) cached(d descriptor) ([]byte, bool) {
	if r.cache == nil {
		return nil, false
	}
	b, err := r.cache.Blob(d.Digest)
	if err != nil {
		return nil, false
	}
	defer b.Close()
	data, err := readLimited(b, r.opts.maxMetadata())
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

// warnStore says, once, that the cache cannot be written, unless it is meant to be
// read only.
func (r *remote) warnStore(err error) {
	if errors.Is(err, fs.ErrPermission) || isReadOnly(err) {
		return
	}
	r.warned.Do(func() { r.opts.warn("%v: going on without keeping what is fetched", err) })
}

// record lists img in the cache, under its name, if all of it is there.
func (r *remote) record(ctx context.Context, img *Image) {
	if r.cache == nil || r.opts.Pull == PullNever {
		return
	}
	r.settle(ctx)
	// What was embedded in a descriptor is not there yet.
	r.keep(ctx, img.Digest, img.Manifest)
	r.keep(ctx, img.ConfigDigest, img.Config)
	blobs := []digest.Digest{img.ConfigDigest}
	for _, l := range img.Layers {
		if l.desc.Data != nil {
			r.keep(ctx, l.Digest, l.desc.Data)
		}
		blobs = append(blobs, l.Digest)
	}
	if img.top != "" {
		blobs = append(blobs, img.top)
	}
	ref := cas.Ref{Name: r.name, MediaType: img.MediaType, Digest: img.Digest, Size: int64(len(img.Manifest)), Platform: img.offered, Top: img.top}
	if err := r.cache.SetRef(ctx, ref, blobs); err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
		r.warnStore(err)
	}
}

// settle waits for the downloads that have begun: a reader may be through with a
// layer before that is in its place.
func (r *remote) settle(ctx context.Context) {
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

// isReadOnly reports whether err is that of a file system that nobody may write.
func isReadOnly(err error) bool { return errors.Is(err, unix.EROFS) }
