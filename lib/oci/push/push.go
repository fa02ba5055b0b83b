package push

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/registry"
)

// Result says what was pushed.
type Result struct {
	Repository string        // in full, with the registry
	Digest     digest.Digest // of the manifest or index
	Tags       []string      // that were set
}

// String returns the reference by digest.
func (r Result) String() string { return r.Repository + "@" + r.Digest.String() }

// Push pushes b to ref, [docker://][REGISTRY/]NAME[:TAG][@DIGEST]. Without a tag or a digest
// in ref, and without Options.Tags, the tag is latest. A digest in ref must be that of the
// image.
//
// After an error no tag names anything that is not complete; see the package comment. Errors
// are those of package registry where the registry or the network is to blame, those of
// package oci where the image is, and the types of this package.
func Push(ctx context.Context, b *oci.Bundle, ref string, opts Options) (Result, error) {
	to, err := parse(ref, opts.Tags)
	if err != nil {
		return Result{}, err
	}
	r, err := to.push(ctx, b, opts)
	if err != nil {
		return r, fmt.Errorf("%s: %w", ref, err)
	}
	return r, nil
}

func (d destination) push(ctx context.Context, b *oci.Bundle, opts Options) (Result, error) {
	result := Result{Repository: d.repository(), Digest: b.Root.Digest}
	if d.digest != "" && d.digest != b.Root.Digest {
		return result, &DigestError{Wanted: d.digest, Has: b.Root.Digest, Name: b.Name}
	}
	client, err := registry.New(opts.Registry)
	if err != nil {
		return result, err
	}
	defer client.Close()
	p := &pusher{b: b, opts: opts}
	if p.to, err = client.Target(d.ref); err != nil {
		return result, err
	}
	p.plan(b.Root, map[digest.Digest]bool{}, map[digest.Digest]bool{})
	p.findMounts(ctx)
	if err := p.blobs(ctx); err != nil {
		return result, err
	}
	if err := b.Drain(ctx); err != nil { // an archive that is cut short is not complete
		return result, fmt.Errorf("%s: %w", b.Name, err)
	}
	if err := p.manifests(ctx); err != nil {
		return result, err
	}
	for _, tag := range d.tags {
		err := p.to.PutManifest(ctx, tag, of(b.Root), b.Root.Digest, p.retries(Event{}))
		if err != nil {
			return result, fmt.Errorf("tag %s: %w", tag, err)
		}
		result.Tags = append(result.Tags, tag)
	}
	return result, nil
}

// pusher is one call of Push.
type pusher struct {
	b      *oci.Bundle
	to     *registry.Target
	opts   Options
	mounts []string        // repositories that may have blobs
	work   []Event         // the blobs, each once
	docs   []*oci.Document // each after those that it lists
	absent []absent
}

type absent struct {
	desc manifest.Descriptor
	in   digest.Digest
}

// plan lists what is to be pushed.
func (p *pusher) plan(d *oci.Document, docs, blobs map[digest.Digest]bool) {
	if docs[d.Digest] {
		return
	}
	docs[d.Digest] = true
	for i, blob := range d.Blobs {
		if !blobs[blob.Digest] {
			blobs[blob.Digest] = true
			p.work = append(p.work, Event{Blob: blob, Layer: i - 1, Platform: d.Platform})
		}
	}
	for _, child := range d.Manifests {
		p.plan(child, docs, blobs)
	}
	for _, a := range d.Absent {
		p.absent = append(p.absent, absent{a, d.Digest})
	}
	p.docs = append(p.docs, d)
}

// blobs uploads the blobs that the registry does not have, several at a time.
func (p *pusher) blobs(ctx context.Context) error {
	if err := p.checkAbsent(ctx); err != nil {
		return err
	}
	for _, e := range p.work {
		e.Kind = EventQueued
		p.opts.event(e)
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(p.opts.jobs())
	for _, e := range p.work {
		if gctx.Err() != nil {
			break
		}
		group.Go(func() error {
			err := p.blob(gctx, e)
			if err != nil {
				e.Kind, e.Err = EventFailed, err
				p.opts.event(e)
			}
			return err
		})
	}
	err := group.Wait()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// checkAbsent returns an error if an index lists something that neither the file nor the
// registry has.
func (p *pusher) checkAbsent(ctx context.Context) error {
	asked := map[digest.Digest]bool{}
	for _, a := range p.absent {
		if asked[a.desc.Digest] {
			continue
		}
		asked[a.desc.Digest] = true
		has, _, err := p.to.HasManifest(ctx, a.desc.Digest.String(), p.retries(Event{}))
		if err != nil {
			return err
		}
		if !has {
			e := &AbsentError{Index: a.in, Digest: a.desc.Digest, Name: p.b.Name}
			if a.desc.Platform != nil {
				e.Platform = a.desc.Platform.String()
			}
			return e
		}
	}
	return nil
}

// manifests pushes the manifests and indexes by their digests.
func (p *pusher) manifests(ctx context.Context) error {
	for _, d := range p.docs {
		id := d.Digest.String()
		has, as, err := p.to.HasManifest(ctx, id, p.retries(Event{}))
		if err == nil && (!has || as != "" && as != d.Digest) {
			err = p.to.PutManifest(ctx, id, of(d), d.Digest, p.retries(Event{}))
		}
		if err != nil {
			return fmt.Errorf("manifest %s: %w", id, err)
		}
	}
	return nil
}

func of(d *oci.Document) registry.Manifest {
	return registry.Manifest{Data: d.Data, MediaType: d.MediaType}
}

// retries returns the function that reports a retry about e.
func (p *pusher) retries(e Event) func(registry.Retry) {
	return func(t registry.Retry) {
		e.Kind, e.Attempt, e.Wait, e.Err = EventRetry, t.Attempt, t.Wait, t.Err
		p.opts.event(e)
	}
}
