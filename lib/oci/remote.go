package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci/hosts"
	"ocipipe/lib/oci/registry"
)

// PullPolicy says when a registry is asked for what is in the cache.
type PullPolicy int

// The policies. Without a cache the first two are the same, and nothing is there
// for the third.
const (
	PullIfMissing PullPolicy = iota // what is there is taken
	PullAlways                      // the registry says what a tag means now
	PullNever                       // no network
)

// remote is one repository of a registry, with the cache before it.
type remote struct {
	opts   Options
	name   string // of the image, in full, as the cache calls it
	client *registry.Client
	repo   *registry.Repository
	cache  *cas.Store // nil: none

	ctx    context.Context // of downloads; ends with the image
	cancel context.CancelCauseFunc
	jobs   chan struct{}
	wg     sync.WaitGroup
	warned sync.Once // that the cache cannot be written

	mu        sync.Mutex
	downloads map[digest.Digest]*download
}

// openRegistry opens the image that s names in a registry.
func openRegistry(ctx context.Context, s string, opts Options) (*Image, error) {
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") || s == "-" {
		return nil, hintAtPath(s, fmt.Errorf("%s: not the name of an image: write oci:DIR, oci-archive:FILE or docker-archive:FILE for a file", s))
	}
	ref, err := parseName(s)
	if err != nil {
		return nil, hintAtPath(s, err)
	}
	img, err := fetchImage(ctx, ref, opts)
	if err != nil {
		return nil, hintAtPath(s, hintTag(s, ref, fmt.Errorf("%s: %w", s, err)))
	}
	return img, nil
}

func fetchImage(ctx context.Context, ref name.Reference, opts Options) (*Image, error) {
	r, err := newRemote(ctx, ref, opts)
	if err != nil {
		return nil, err
	}
	img, err := r.image(ctx, ref)
	if err != nil {
		r.Close()
		return nil, r.blame(err)
	}
	img.Name, img.remote = ref.String(), r
	img.closers = append(img.closers, r)
	return img, nil
}

func newRemote(ctx context.Context, ref name.Reference, opts Options) (*remote, error) {
	conf := opts.Registry
	if conf.Warn == nil {
		conf.Warn = opts.Warn
	}
	client, err := registry.New(conf)
	if err != nil {
		return nil, err
	}
	repo, err := client.Repository(ref)
	if err != nil {
		return nil, err
	}
	r := &remote{
		opts: opts, name: hosts.FullName(ref), client: client, repo: repo, cache: opts.Cache,
		jobs: make(chan struct{}, opts.jobs()), downloads: map[digest.Digest]*download{},
	}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	return r, nil
}

// blame adds to err, where it is about wrong bytes, the mirrors that may have sent
// them.
func (r *remote) blame(err error) error {
	mirrors := r.repo.Mirrors()
	if len(mirrors) == 0 || !errors.Is(err, ErrCorrupt) {
		return err
	}
	return &hintError{err, "it came through the mirror " + strings.Join(mirrors, ", ")}
}

// image loads the image of ref.
func (r *remote) image(ctx context.Context, ref name.Reference) (*Image, error) {
	l, err := newLoader(r, r.opts)
	if err != nil {
		return nil, err
	}
	if d, ok := ref.(name.Digest); ok {
		return r.load(ctx, l, descriptor{Digest: digest.Digest(d.DigestStr()), Size: -1}, nil)
	}
	tag := ref.Identifier()
	d, data, err := r.resolve(ctx, tag)
	if err != nil {
		return nil, err
	}
	img, err := r.load(ctx, l, d, data)
	if err != nil {
		return nil, err
	}
	img.Tag = tag
	return img, nil
}

// load makes the image of d, whose manifest or index may have been read.
func (r *remote) load(ctx context.Context, l *loader, d descriptor, data []byte) (img *Image, err error) {
	if data == nil {
		img, err = l.load(ctx, d)
	} else {
		img, err = l.loadData(ctx, d, data, 0)
	}
	if err == nil && img.Digest != d.Digest {
		img.top = d.Digest
	}
	return img, err
}

// resolve finds what tag means: in the cache, if that is allowed, or now. The
// manifest or index comes with it where it had to be fetched.
func (r *remote) resolve(ctx context.Context, tag string) (d descriptor, data []byte, err error) {
	if r.opts.Pull != PullAlways {
		if d, ok := r.known(); ok {
			return d, nil, nil
		}
	}
	if r.opts.Pull == PullNever {
		return d, nil, r.absent("its manifest")
	}
	if r.opts.Pull == PullAlways && r.cache != nil {
		dig, err := r.repo.Resolve(ctx, tag, r.retries(-1, ""))
		if registry.Temporary(err) || ctx.Err() != nil {
			return d, nil, fmt.Errorf("manifest: %w", err)
		}
		if err == nil && checkDigest(dig) == nil && r.has(dig) {
			return descriptor{Digest: dig, Size: -1}, nil, nil
		}
	} // a registry that cannot say it is asked for the manifest itself
	m, err := r.fetchManifest(ctx, tag)
	if err != nil {
		return d, nil, fmt.Errorf("manifest: %w", err)
	}
	d = descriptor{MediaType: types.MediaType(m.MediaType), Digest: digest.FromBytes(m.Data), Size: int64(len(m.Data))}
	r.keep(ctx, d.Digest, m.Data)
	return d, m.Data, nil
}

func (r *remote) fetchManifest(ctx context.Context, ref string) (registry.Manifest, error) {
	m, err := r.repo.Manifest(ctx, ref, r.opts.maxMetadata(), r.retries(-1, ""))
	if errors.Is(err, registry.ErrTooLarge) {
		err = fmt.Errorf("%w: longer than %d bytes (limit --max-metadata)", ErrUnsupported, r.opts.maxMetadata())
	}
	return m, explain(err)
}

// manifest returns a manifest or an index. What comes from the registry goes into
// the cache if it is the right one.
func (r *remote) manifest(ctx context.Context, d descriptor) (io.ReadCloser, int64, error) {
	return r.document(ctx, d, "manifest "+d.Digest.String(), func() ([]byte, error) {
		m, err := r.fetchManifest(ctx, d.Digest.String())
		return m.Data, err
	})
}

// config is manifest for a configuration.
func (r *remote) config(ctx context.Context, d descriptor) (io.ReadCloser, int64, error) {
	return r.document(ctx, d, "configuration "+d.Digest.String(), func() ([]byte, error) {
		s, err := r.repo.Stream(ctx, registry.Blob{Digest: d.Digest, Size: d.Size}, 0, r.retries(-1, d.Digest))
		if err != nil {
			return nil, explain(err)
		}
		defer s.Close()
		data, err := readLimited(s, r.opts.maxMetadata())
		return data, explain(err)
	})
}

func (r *remote) document(ctx context.Context, d descriptor, what string, fetch func() ([]byte, error)) (io.ReadCloser, int64, error) {
	if data, ok := r.cached(d); ok {
		return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
	}
	if r.opts.Pull == PullNever {
		return nil, 0, r.absent(what)
	}
	data, err := r.fetchOnce(ctx, d, fetch)
	if err != nil {
		return nil, 0, err
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}

// fetchOnce calls fetch and keeps what it returns, unless somebody else, whom it
// waits for, has done so meanwhile.
func (r *remote) fetchOnce(ctx context.Context, d descriptor, fetch func() ([]byte, error)) (data []byte, err error) {
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
	case err == nil, errors.Is(err, cas.ErrMismatch): // who reads it says so
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

// retries passes on that a request is tried again.
func (r *remote) retries(layer int, d digest.Digest) func(registry.Retry) {
	return func(t registry.Retry) {
		r.opts.event(Event{Kind: EventRetry, Layer: layer, Digest: d, Attempt: t.Attempt, Wait: t.Wait, Err: t.Err})
	}
}

// Close ends all downloads. What has arrived stays in the cache.
func (r *remote) Close() error {
	r.cancel(fs.ErrClosed)
	r.wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.downloads {
		d.close()
	}
	r.client.Close()
	return nil
}

// explain makes errors of the registry those of this package.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, registry.ErrNotFound):
		return notFoundError{err}
	case errors.Is(err, registry.ErrSize), errors.Is(err, registry.ErrProtocol):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// notFoundError is ErrNotFound in the registry's own words.
type notFoundError struct{ error }

func (e notFoundError) Unwrap() error      { return e.error }
func (notFoundError) Is(target error) bool { return target == ErrNotFound }
