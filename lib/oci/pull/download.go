package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/registry"
)

// eventsApart is the shortest time between two events about the bytes of a layer.
const eventsApart = 50 * time.Millisecond

// download is a layer that arrives, for any number of readers. It arrives in a part of the
// cache, or in a spool file. If neither can be had, each reader has a stream of its own.
type download struct {
	r     *remote
	desc  manifest.Descriptor
	layer int
	all   bool // all layers are wanted: its failure ends the other downloads

	ended chan struct{} // closed when the download is over
	ready chan struct{} // closed when kind is set
	kind  sourceKind
	part  *cas.Part
	err   error // for sourceNone: the reason
	final error // set before ended is closed: why part does not hold the layer

	place   oci.Place // of the layer in the output, if it has one
	inPlace bool      // set before ended is closed: the layer is in its place

	done  atomic.Int64
	event atomic.Int64 // when the last event was sent, in nanoseconds from start
	start time.Time
}

// sourceKind says where readers find a layer.
type sourceKind int

const (
	sourceNone   sourceKind = iota // nowhere
	sourceCache                    // complete in the cache
	sourcePart                     // in part
	sourceStream                   // in the registry alone
)

// Prefetch starts to download all layers of an image from a registry, several at a time,
// and does not wait for them. The reader of Layer.Open then yields what has arrived and
// waits for the rest. If one layer fails, all do. For an image in a file Prefetch does
// nothing. [oci.WriteArchive] does the same by itself.
//
// With the policy Never it returns an [*AbsentError] that names every missing layer.
func (img *Image) Prefetch() error {
	if img.remote == nil {
		return nil
	}
	return img.remote.Fetch(img.Image, nil)
}

// PrefetchLayers is Prefetch for some layers, by their numbers, in this order.
func (img *Image) PrefetchLayers(layers []int) error {
	if img.remote == nil {
		return nil
	}
	return img.remote.fetch(img.Image, layers, nil)
}

// Fetch implements [oci.Fetcher]: layers that are not kept in a cache go to places.
func (r *remote) Fetch(img *oci.Image, places map[digest.Digest]oci.Place) error {
	all := make([]int, len(img.Layers)) // in order, so that the lowest layers begin first
	for i := range all {
		all[i] = i
	}
	return r.fetch(img, all, places)
}

func (r *remote) fetch(img *oci.Image, layers []int, places map[digest.Digest]oci.Place) error {
	if r.opts.Policy == Never {
		return r.checkComplete(img, layers)
	}
	var fresh []*download
	for _, i := range layers {
		desc := img.Layers[i].Descriptor()
		if desc.Data != nil {
			continue
		}
		if d, isNew := r.download(desc, i, true); isNew {
			d.place = places[desc.Digest]
			r.opts.event(Event{Kind: EventQueued, Layer: i, Digest: desc.Digest, Total: desc.Size})
			fresh = append(fresh, d)
		}
	}
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		for _, d := range fresh {
			if d.fromCache() {
				close(d.ended)
				continue
			}
			r.jobs <- struct{}{} // earlier downloads have the others; they release them at the latest when r ends
			r.wg.Add(1)
			go func() {
				defer r.wg.Done()
				d.run()
				<-r.jobs
			}()
		}
	}()
	return nil
}

// checkComplete returns an error that names those of the layers of img that the cache lacks.
func (r *remote) checkComplete(img *oci.Image, layers []int) error {
	var missing []string
	for _, i := range layers {
		l := &img.Layers[i]
		if l.Descriptor().Data == nil && !r.has(l.Digest) {
			missing = append(missing, fmt.Sprintf("layer %d %s", l.Index, l.Digest))
		}
	}
	if missing != nil {
		return r.absent(strings.Join(missing, ", "))
	}
	return nil
}

// download returns the download of a layer. If isNew, the caller must run it.
func (r *remote) download(d manifest.Descriptor, layer int, all bool) (_ *download, isNew bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.downloads[d.Digest]; old != nil {
		return old, false
	}
	n := &download{r: r, desc: d, layer: layer, all: all, ended: make(chan struct{}), ready: make(chan struct{}), start: time.Now()}
	r.downloads[d.Digest] = n
	return n, true
}

// Layer implements [oci.Source]. The first reader of a layer starts its download.
func (r *remote) Layer(ctx context.Context, index int, desc manifest.Descriptor) (io.ReadCloser, error) {
	d, isNew := r.download(desc, index, false)
	if isNew {
		r.wg.Add(1)
		go func() {
			defer r.wg.Done()
			if d.fromCache() {
				close(d.ended)
			} else {
				d.run()
			}
		}()
	}
	return d.open(ctx)
}

// foundIn tells readers where they find the layer; err is the reason for sourceNone.
func (d *download) foundIn(k sourceKind, err error) {
	d.kind, d.err = k, err
	close(d.ready)
}

// fromCache reports whether the cache has the layer already, and if so tells the readers.
func (d *download) fromCache() bool {
	b, err := d.inCache()
	if err != nil {
		return false
	}
	b.Close()
	d.send(Event{Kind: EventCached, Done: d.desc.Size})
	d.foundIn(sourceCache, nil)
	return true
}

// inCache opens the layer in the cache. A blob of another size counts as missing.
func (d *download) inCache() (*cas.Blob, error) {
	if d.r.cache == nil {
		return nil, oci.ErrNotFound
	}
	b, err := d.r.cache.Blob(d.r.ctx, d.desc.Digest)
	if err == nil && b.Size != d.desc.Size {
		b.Close()
		d.r.passOver(d.desc.Digest)
		return nil, oci.ErrNotFound
	}
	return b, err
}

// run fetches the layer.
func (d *download) run() {
	defer close(d.ended)
	ctx := d.r.ctx
	switch {
	case ctx.Err() != nil:
		d.foundIn(sourceNone, context.Cause(ctx))
		return
	case d.r.opts.Policy == Never:
		d.foundIn(sourceNone, d.r.absent(d.desc.Digest.String()))
		return
	}
	part, err := d.begin(ctx)
	switch {
	case errors.Is(err, cas.ErrExists):
		if !d.fromCache() { // meanwhile it was removed again
			d.foundIn(sourceStream, nil)
		}
		return
	case ctx.Err() != nil:
		if part != nil {
			part.Close()
		}
		d.foundIn(sourceNone, context.Cause(ctx))
		return
	case part == nil:
		d.foundIn(sourceStream, nil)
		return
	}
	d.part = part
	missing := spans(part.Missing())
	have := d.desc.Size
	for _, m := range missing {
		have -= m.End - m.Off
	}
	d.done.Store(have)
	d.send(Event{Kind: EventStarted, Done: have})
	d.foundIn(sourcePart, nil)
	d.finish(ctx, d.fetch(ctx, missing))
}

// begin returns a part for the layer: in the cache, in its place in the output, or in a
// spool file. It returns nil if none can be had, so that readers stream the layer.
func (d *download) begin(ctx context.Context) (*cas.Part, error) {
	if d.r.cache != nil {
		p, err := d.r.cache.Begin(ctx, d.desc.Digest, d.desc.Size)
		if err == nil || errors.Is(err, cas.ErrExists) || ctx.Err() != nil {
			return p, err
		}
		d.r.warnStore(err)
	} else if d.place.File != nil {
		if p, err := cas.SpoolAt(d.place.File, d.place.Off, d.desc.Digest, d.desc.Size); err == nil {
			d.inPlace = true
			return p, nil
		}
	} else if d.r.opts.isSerial() {
		return nil, nil
	}
	p, err := cas.Spool(d.r.opts.Image.TmpDir, d.desc.Digest, d.desc.Size)
	if err != nil {
		d.r.warnSerial(err)
		return nil, nil
	}
	return p, nil
}

// cannotKeep warns of err, which keeps the part from becoming the layer. It does not warn
// if the layer had a place in the output: the writer of the output gets the same error.
func (d *download) cannotKeep(err error) {
	d.inPlace = false
	switch {
	case d.r.cache != nil:
		d.r.warnStore(err)
	case d.place.File == nil:
		d.r.warnSerial(err)
	}
}

// warnSerial warns once that layers cannot be downloaded ahead, for lack of a place.
func (r *remote) warnSerial(err error) {
	r.warned.Do(func() { r.opts.warn("%v: layers come one after the other", err) })
}

func spans(list []cas.Range) []registry.Span {
	s := make([]registry.Span, len(list))
	for i, x := range list {
		s[i] = registry.Span{Off: x.Off, End: x.End}
	}
	return s
}

// storeError is a failure to keep bytes that have arrived.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

func (d *download) fetch(ctx context.Context, missing []registry.Span) error {
	write := func(p []byte, off int64) error {
		if _, err := d.part.WriteAt(p, off); err != nil {
			return storeError{err}
		}
		done := d.done.Add(int64(len(p)))
		now, last := int64(time.Since(d.start)), d.event.Load()
		if now-last > int64(eventsApart) && d.event.CompareAndSwap(last, now) {
			d.send(Event{Kind: EventBytes, Done: done})
		}
		return nil
	}
	return d.r.repo.Fetch(ctx, d.r.source(d.desc), missing, write, d.r.retries(d.layer, d.desc.Digest))
}

// source describes the layer to the registry.
func (r *remote) source(d manifest.Descriptor) registry.Blob {
	b := registry.Blob{Digest: d.Digest, Size: d.Size}
	if r.opts.AllowForeign {
		b.URLs = d.URLs
	}
	return b
}

// finish ends the download; err is the result of fetching.
func (d *download) finish(ctx context.Context, err error) {
	isWrong := errors.Is(err, oci.ErrCorrupt) // a file knows that; what a registry sends is verified below
	if err == nil {
		resumed := d.part.Resumed()
		if err = d.part.Commit(ctx); errors.Is(err, cas.ErrMismatch) {
			err = d.mismatch(err, resumed)
		} else if err != nil && ctx.Err() == nil {
			// All of it has arrived, but cannot be kept; readers stream it themselves.
			d.cannotKeep(err)
			err = nil
		}
	}
	var store storeError
	switch {
	case err == nil:
		d.send(Event{Kind: EventDone, Done: d.desc.Size})
		return
	case errors.As(err, &store) && ctx.Err() == nil: // readers go on by themselves
		d.cannotKeep(store.error)
		d.part.DiscardWithError(store)
		return
	}
	err = oci.ExplainMissing(d.desc, explain(err))
	d.final = err
	if ctx.Err() == nil {
		d.send(Event{Kind: EventFailed, Done: d.done.Load(), Err: err})
	}
	if isWrong { // nothing of it is to be continued
		d.part.DiscardWithError(err)
	} else {
		d.part.CloseWithError(err)
	}
	if d.all {
		d.r.cancel(&oci.LayerError{Layer: d.layer, Err: err})
	}
}

// mismatch returns the error for bytes that do not have the digest. Bytes of an earlier run
// may be to blame; they are removed by now.
func (d *download) mismatch(err error, resumed bool) error {
	err = d.r.blame(fmt.Errorf("%w: %w", oci.ErrCorrupt, err))
	if resumed {
		err = tryAgain{fmt.Errorf("%w (what an earlier run had left of it has been removed)", err)}
	}
	return err
}

func (d *download) send(e Event) {
	e.Layer, e.Digest, e.Total = d.layer, d.desc.Digest, d.desc.Size
	d.r.opts.event(e)
}

func (d *download) close() {
	if d.part != nil {
		d.part.Close()
	}
}

// open returns a reader of the layer, from its beginning, which verifies what it reads.
func (d *download) open(ctx context.Context) (io.ReadCloser, error) {
	select {
	case <-d.ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	switch d.kind {
	case sourceNone:
		return nil, d.err
	case sourceCache:
		if b, err := d.inCache(); err == nil {
			return trusted{b}, nil
		}
	case sourcePart:
		if r, err := d.follow(ctx); err == nil {
			return r, nil
		}
		select { // the part has ended, or there is no descriptor for another reader
		case <-d.ended:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if d.final != nil {
			return nil, d.final
		}
		if b, err := d.inCache(); err == nil {
			return trusted{b}, nil
		}
	}
	s, err := d.stream(ctx, 0)
	if err != nil {
		return nil, err
	}
	return &blaming{oci.Verify(s, d.desc), d.r}, nil
}

// blaming is a reader that adds to an error about wrong bytes which mirrors may have sent
// them.
type blaming struct {
	io.ReadCloser
	r *remote
}

func (b *blaming) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.r.blame(err)
	}
	return n, err
}

// Placed implements [oci.Fetcher].
func (r *remote) Placed(ctx context.Context, l *oci.Layer) (bool, error) {
	r.mu.Lock()
	d := r.downloads[l.Digest]
	r.mu.Unlock()
	if d == nil || d.place.File == nil {
		return false, nil
	}
	select {
	case <-d.ended:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	return d.inPlace, d.final
}

// stream reads the layer from the registry for one reader alone.
func (d *download) stream(ctx context.Context, off int64) (io.ReadCloser, error) {
	s, err := d.r.repo.Stream(ctx, d.r.source(d.desc), off, d.r.retries(d.layer, d.desc.Digest))
	if err != nil {
		return nil, explain(err)
	}
	return explained{s}, nil
}

// explained is a stream that turns errors of package registry into those of package oci.
type explained struct{ io.ReadCloser }

func (e explained) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	if err != io.EOF {
		err = explain(err)
	}
	return n, err
}
