package pull

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/layout"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/names"
	"ocipipe/lib/oci/registry"
)

// remote is the origin of an image, such as a repository of a registry, behind the cache.
type remote struct {
	opts  Options
	name  string // of the image, in full, as in the cache
	repo  origin
	cache *cas.Store // nil without a cache

	ctx    context.Context // of downloads; Close of the image ends it
	cancel context.CancelCauseFunc
	jobs   chan struct{}
	wg     sync.WaitGroup
	warned sync.Once // that the cache cannot be written

	mu        sync.Mutex
	downloads map[digest.Digest]*download
	use       *cas.Use // nil before there is something to hold; see hold
	held      map[digest.Digest]bool
}

func newRemote(ctx context.Context, ref name.Reference, opts Options) (*remote, error) {
	conf := opts.Registry
	if conf.Warn == nil {
		conf.Warn = opts.Image.Warn
	}
	client, err := registry.New(conf)
	if err != nil {
		return nil, err
	}
	repo, err := client.Repository(ref)
	if err != nil {
		return nil, err
	}
	return behindCache(ctx, names.Full(ref), repository{repo, client}, opts), nil
}

func behindCache(ctx context.Context, name string, from origin, opts Options) *remote {
	r := &remote{
		opts: opts, name: name, repo: from, cache: opts.Cache,
		jobs: make(chan struct{}, opts.jobs()), downloads: map[digest.Digest]*download{}, held: map[digest.Digest]bool{},
	}
	r.ctx, r.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return r
}

// image loads the image of ref.
func (r *remote) image(ctx context.Context, ref name.Reference) (*Image, error) {
	if d, ok := ref.(name.Digest); ok {
		return r.load(ctx, manifest.Descriptor{Digest: digest.Digest(d.DigestStr()), Size: -1}, nil)
	}
	tag := ref.Identifier()
	d, data, err := r.resolve(ctx, tag)
	if err != nil {
		return nil, err
	}
	img, err := r.load(ctx, d, data)
	if err != nil {
		return nil, err
	}
	img.Tag = tag
	return img, nil
}

// load makes the image of d. data is the manifest or index if it has been read, else nil.
func (r *remote) load(ctx context.Context, d manifest.Descriptor, data []byte) (*Image, error) {
	loaded, err := oci.Load(ctx, r, d, data, r.opts.Image)
	if err != nil {
		return nil, err
	}
	img := &Image{Image: loaded, remote: r}
	if img.Digest != d.Digest {
		img.top = d.Digest
	}
	blobs := []digest.Digest{img.Digest, img.ConfigDigest}
	for i := range img.Layers {
		blobs = append(blobs, img.Layers[i].Digest)
	}
	r.hold(ctx, blobs...)
	if r.cache != nil && !r.opts.Used.IsZero() {
		r.cache.Touch(img.Digest, r.opts.Used)
	}
	return img, nil
}

// resolve finds out what tag means: from the cache, if the policy allows it, or from the
// registry. It also returns the manifest or index if it had to fetch that.
func (r *remote) resolve(ctx context.Context, tag string) (d manifest.Descriptor, data []byte, err error) {
	if r.opts.Policy != Always {
		if d, ok := r.known(ctx); ok {
			return d, nil, nil
		}
	}
	if r.opts.Policy == Never {
		return d, nil, r.absent("its manifest")
	}
	if r.opts.Policy == Always && r.cache != nil {
		dig, err := r.repo.Resolve(ctx, tag, r.retries(-1, ""))
		if registry.Temporary(err) || ctx.Err() != nil {
			return d, nil, fmt.Errorf("manifest: %w", err)
		}
		r.hold(ctx, dig)
		if err == nil && layout.CheckDigest(dig) == nil && r.has(dig) {
			return manifest.Descriptor{Digest: dig, Size: -1}, nil, nil
		}
	} // a registry that does not tell the digest is asked for the manifest itself
	m, err := r.fetchManifest(ctx, tag)
	if err != nil {
		return d, nil, fmt.Errorf("manifest: %w", err)
	}
	d = manifest.Descriptor{MediaType: types.MediaType(m.MediaType), Digest: digest.FromBytes(m.Data), Size: int64(len(m.Data))}
	r.hold(ctx, d.Digest)
	r.keep(ctx, d.Digest, m.Data)
	return d, m.Data, nil
}

func (r *remote) fetchManifest(ctx context.Context, ref string) (registry.Manifest, error) {
	m, err := r.repo.Manifest(ctx, ref, r.opts.Image.MetadataLimit(), r.retries(-1, ""))
	if errors.Is(err, registry.ErrTooLarge) {
		err = &oci.LimitError{Limit: oci.MaxMetadata, Max: r.opts.Image.MetadataLimit()}
	}
	return m, explain(err)
}

// Manifest returns a manifest or an index. One from the registry goes into the cache if it
// has its digest.
func (r *remote) Manifest(ctx context.Context, d manifest.Descriptor) (io.ReadCloser, error) {
	return r.document(ctx, d, "manifest "+d.Digest.String(), func() ([]byte, error) {
		m, err := r.fetchManifest(ctx, d.Digest.String())
		return m.Data, err
	})
}

// Config is Manifest for a configuration.
func (r *remote) Config(ctx context.Context, d manifest.Descriptor) (io.ReadCloser, error) {
	return r.document(ctx, d, "configuration "+d.Digest.String(), func() ([]byte, error) {
		s, err := r.repo.Stream(ctx, registry.Blob{Digest: d.Digest, Size: d.Size}, 0, r.retries(-1, d.Digest))
		if err != nil {
			return nil, explain(err)
		}
		defer s.Close()
		data, err := oci.ReadMetadata(s, r.opts.Image.MetadataLimit())
		return data, explain(err)
	})
}

func (r *remote) document(ctx context.Context, d manifest.Descriptor, what string, fetch func() ([]byte, error)) (io.ReadCloser, error) {
	r.hold(ctx, d.Digest)
	if data, ok := r.cached(d); ok {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	if r.opts.Policy == Never {
		return nil, r.absent(what)
	}
	data, err := r.fetchOnce(ctx, d, fetch)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// fetchOnce calls fetch and keeps what it returns in the cache. If another process is
// fetching the same, fetchOnce waits and takes that from the cache.
func (r *remote) fetchOnce(ctx context.Context, d manifest.Descriptor, fetch func() ([]byte, error)) (data []byte, err error) {
	if r.cache == nil {
		return fetch()
	}
	called := false
	err = r.cache.Fill(ctx, d.Digest, func() (_ []byte, err error) {
		called = true
		data, err = fetch()
		return data, err
	})
	switch {
	case err == nil, errors.Is(err, cas.ErrMismatch): // the reader of data reports it
		return data, nil
	case errors.Is(err, cas.ErrExists):
		if data, ok := r.cached(d); ok {
			return data, nil
		}
	case !errors.Is(err, cas.ErrStore):
		return nil, err
	default:
		r.warnStore(err)
	}
	if called {
		return data, nil
	}
	return fetch()
}

// retries returns the function that reports a retry of a request about a layer.
func (r *remote) retries(layer int, d digest.Digest) func(registry.Retry) {
	return func(t registry.Retry) {
		r.opts.event(Event{Kind: EventRetry, Layer: layer, Digest: d, Attempt: t.Attempt, Wait: t.Wait, Err: t.Err})
	}
}

// Close ends all downloads. The bytes that have arrived stay in the cache.
func (r *remote) Close() error {
	r.cancel(fs.ErrClosed)
	r.wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.downloads {
		d.close()
	}
	r.use.Release()
	return r.repo.Close()
}
