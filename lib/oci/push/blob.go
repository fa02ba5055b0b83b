package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/registry"
)

// blob makes the registry have the blob of e.
func (p *pusher) blob(ctx context.Context, e Event) error {
	say := func(kind EventKind) {
		e.Kind = kind
		p.opts.event(e)
	}
	if e.Blob.IsForeign() && !p.opts.AllowForeign {
		say(EventForeign)
		return nil
	}
	b := registry.Blob{Digest: e.Blob.Digest, Size: e.Blob.Size}
	has, err := p.to.HasBlob(ctx, b, p.retries(e))
	switch {
	case err != nil:
		return e.name(err)
	case has:
		say(EventThere)
		return nil
	}
	say(EventStarted)
	if len(p.mounts) > 0 {
		if err := p.prove(ctx, e.Blob); err != nil {
			return e.name(err)
		}
	}
	from, err := p.to.Upload(ctx, b, registry.Upload{
		Open:  func(ctx context.Context, off int64) (io.ReadCloser, error) { return p.open(ctx, e.Blob, off) },
		Mount: p.mounts, Chunk: p.opts.ChunkSize, Notify: p.retries(e),
		Sent: func(n int64) {
			at := e
			at.Kind, at.Sent = EventBytes, n
			p.opts.event(at)
		},
	})
	if err != nil {
		return e.name(err)
	}
	if e.From = from; from != "" {
		say(EventMounted)
		return nil
	}
	say(EventDone)
	return nil
}

// prove reads a blob to its end, before it is taken over from another repository: an image
// that has but the digest of a blob must not bring it out of a repository that only the user
// of this login can read.
func (p *pusher) prove(ctx context.Context, d manifest.Descriptor) error {
	r, err := p.open(ctx, d, 0)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 1<<20))
	return errors.Join(err, r.Close())
}

// open returns the bytes of a blob from off on. Its reader verifies all of them.
func (p *pusher) open(ctx context.Context, d manifest.Descriptor, off int64) (io.ReadCloser, error) {
	r, err := p.b.Open(ctx, d)
	if err != nil {
		return nil, oci.ExplainMissing(d, err)
	}
	if _, err := io.CopyN(io.Discard, r, off); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// name adds to err which blob it is about.
func (e Event) name(err error) error {
	if e.Layer >= 0 && !errors.As(err, new(*oci.LayerError)) {
		err = &oci.LayerError{Layer: e.Layer, Err: err}
	} else if e.Layer < 0 {
		err = fmt.Errorf("configuration: %w", err)
	}
	if e.Platform != "" {
		err = fmt.Errorf("%s: %w", e.Platform, err)
	}
	return err
}

// maxMounts is how many repositories are asked for each blob.
const maxMounts = 8

// findMounts finds the repositories of the registry that may have blobs of the image.
func (p *pusher) findMounts(ctx context.Context) {
	names := slices.Concat(p.opts.MountFrom, p.b.Root.BaseNames(), []string{p.b.FullName})
	for _, d := range p.docs {
		names = append(names, p.labelled(ctx, d))
	}
	seen := map[name.Repository]bool{}
	for _, n := range names {
		repo, err := repositoryOf(n)
		if err != nil || seen[repo] {
			continue // a name that an image has wrong is no reason not to push it
		}
		seen[repo] = true
		if at := p.to.Sibling(repo); at != "" && !slices.Contains(p.mounts, at) && len(p.mounts) < maxMounts {
			p.mounts = append(p.mounts, at)
		}
	}
}

// maxLabelled is the size of the largest configuration that is read for its labels.
const maxLabelled = 1 << 20

// labelled returns the name of the base image in the labels of a configuration, or "".
func (p *pusher) labelled(ctx context.Context, d *oci.Document) string {
	if len(d.Blobs) == 0 || !manifest.IsImageConfig(d.Blobs[0].MediaType) || d.Blobs[0].Size > maxLabelled {
		return ""
	}
	r, err := p.b.Open(ctx, d.Blobs[0])
	if err != nil {
		return "" // the upload reports it
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	var conf struct {
		Config struct{ Labels map[string]string } `json:"config"`
	}
	if err != nil || manifest.Decode(data, &conf) != nil {
		return ""
	}
	return conf.Config.Labels[manifest.BaseName]
}

// repositoryOf returns the repository of an image's name.
func repositoryOf(s string) (name.Repository, error) {
	ref, err := name.ParseReference(s)
	if err != nil {
		return name.Repository{}, err
	}
	return ref.Context(), nil
}
