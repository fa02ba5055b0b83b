package materialize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/erofs"
	"ocipipe/lib/input"
	"ocipipe/lib/layer"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/tree"
)

// layerImage is the image of a layer. Equal layers share one.
type layerImage struct {
	index    int // of the lowest layer that it is of
	diffID   digest.Digest
	size     int64 // of its blob
	artifact cas.Artifact
	file     *imageFile
	made     Made
}

func (l *layerImage) close() { l.file.close() }

// distinctLayers returns the layers, each diff-id once, in order.
func (m *materializer) distinctLayers() (list []*layerImage) {
	seen := map[digest.Digest]bool{}
	for i, l := range m.img.Layers {
		if !seen[l.DiffID] {
			seen[l.DiffID] = true
			list = append(list, &layerImage{
				index: i, diffID: l.DiffID, size: l.Size,
				artifact: cas.Artifact{Kind: "layers", ABI: ABI, Key: l.DiffID, Variant: m.opts.compressionKey(), Ext: "erofs"},
			})
		}
	}
	return list
}

// ofLayer returns the image of layer i.
func (m *materializer) ofLayer(i int) *layerImage {
	id := m.img.Layers[i].DiffID
	return m.layers[slices.IndexFunc(m.layers, func(l *layerImage) bool { return l.diffID == id })]
}

// buildLayers makes the images of layers that the cache lacks, the largest first, as the
// slowest counts in the end.
func (m *materializer) buildLayers(ctx context.Context) error {
	missing, err := m.findLayers(ctx)
	if err != nil {
		return err
	}
	if err := m.convert(ctx, missing); err != nil {
		return err
	}
	for i := range m.result.Layers {
		l := m.ofLayer(i)
		r := &m.result.Layers[i]
		r.Path, r.ImageSize, r.UUID, r.Made = m.path(l.artifact), l.file.img.Size(), uuidText(l.file.img.UUID()), l.made
	}
	return nil
}

// findLayers opens the images that the cache has, and returns the layers without one.
func (m *materializer) findLayers(ctx context.Context) (missing []*layerImage, err error) {
	for _, l := range m.layers {
		l.file, err = m.openErofs(ctx, l.artifact)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, l)
		case err != nil:
			return nil, err
		default:
			m.opts.event(Event{StageLayer, pull.Event{Kind: pull.EventCached, Layer: l.index, Digest: l.diffID}})
		}
	}
	slices.SortStableFunc(missing, func(a, b *layerImage) int { return cmp.Compare(b.size, a.size) })
	return missing, nil
}

func (m *materializer) convert(ctx context.Context, missing []*layerImage) error {
	if len(missing) == 0 {
		return nil
	}
	var numbers []int
	for _, l := range missing {
		numbers = append(numbers, l.index)
		m.opts.event(Event{StageLayer, pull.Event{Kind: pull.EventQueued, Layer: l.index, Digest: l.diffID, Total: l.size}})
	}
	if err := m.img.PrefetchLayers(numbers); err != nil {
		return err
	}
	set := input.OfImage(m.img.Image, input.Options{Warn: m.opts.Warn, Layer: m.opts.Layer})
	jobs := m.opts.Jobs
	if jobs == 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	jobs = min(jobs, len(missing))
	workers := workersFor(jobs)
	work := newParts(jobs)
	for _, l := range missing {
		in := set.Layers[l.index]
		in.Options.Parallel, in.Options.Limits, in.Options.SpoolDir = jobs, m.opts.Limits, m.tmp()
		in.Options.GivesAway = true
		work.start(ctx, l.index, func(ctx context.Context) error {
			return named(l.index, m.convertLayer(ctx, l, in, workers))
		})
	}
	return work.wait(ctx)
}

// named adds the number of the layer to err, unless err has it.
func named(layer int, err error) error {
	if err == nil || errors.As(err, new(*oci.LayerError)) || errors.Is(err, cas.ErrStore) {
		return err
	}
	return &LayerError{layer, err}
}

// tmp is the directory for spool files: that of the cache, which needs room in any case.
func (m *materializer) tmp() string { return filepath.Join(m.dir, "tmp") }

// convertLayer makes and opens the image of l. If the layer is wrong because its blob in the
// cache is damaged, it fetches that again.
func (m *materializer) convertLayer(ctx context.Context, l *layerImage, in layer.Input, workers int) (err error) {
	start := time.Now()
	m.opts.event(Event{StageLayer, pull.Event{Kind: pull.EventStarted, Layer: l.index, Digest: l.diffID, Total: l.size}})
	defer func() { m.layerEnds(l, err) }()
	for again := true; ; again = false {
		l.made.Built, err = m.make(ctx, l.artifact, func(f *os.File) error { return m.writeLayer(ctx, l, in, workers, f) })
		if err == nil {
			break
		}
		if !again || ctx.Err() != nil || isLocal(err) || !m.img.Distrust(ctx, &m.img.Layers[l.index]) {
			return err
		}
	}
	if l.made.Built {
		l.made.Seconds = seconds(start)
	}
	l.file, err = m.openErofs(ctx, l.artifact)
	return m.ifRemoved(l.artifact, err)
}

// ifRemoved explains an error about an artifact that was made a moment ago.
func (m *materializer) ifRemoved(a cas.Artifact, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: it was removed meanwhile", m.path(a))
	}
	return err
}

func (m *materializer) layerEnds(l *layerImage, err error) {
	e := Event{StageLayer, pull.Event{Kind: pull.EventDone, Layer: l.index, Digest: l.diffID, Done: l.size, Total: l.size, Err: err}}
	if err != nil {
		e.Kind, e.Done = pull.EventFailed, 0
	}
	m.opts.event(e)
}

// writeLayer converts the layer, while it still arrives, to f, and has it compressed by so
// many workers.
func (m *materializer) writeLayer(ctx context.Context, l *layerImage, in layer.Input, workers int, f *os.File) error {
	open := in.Open
	in.Open = func(ctx context.Context) (io.ReadCloser, error) {
		r, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return &counted{ReadCloser: r, m: m, l: l, start: time.Now()}, nil
	}
	src, err := layer.Open(ctx, in)
	if err != nil {
		return err
	}
	defer src.Close()
	w, err := erofs.NewWriter(ctx, f, erofs.Options{
		Layer: true, SpoolDir: m.tmp(), MaxHoleBytes: m.opts.MaxHoleBytes, Warn: m.warnOf(l.index), ForMerging: m.opts.target() != Layers,
		TakesEntries: true, Compression: m.opts.compressionBy(workers), WarnKernel: m.warnKernel,
	})
	if err != nil {
		return err
	}
	if err := tree.Copy(ctx, w, src); err != nil || m.opts.DropBlobs {
		return err
	}
	// A process that is killed between the two leaves no image without its blob, for which
	// the next one would not go on to fetch it.
	return m.img.Settle(ctx, &m.img.Layers[l.index])
}

// warnOf returns the callback for warnings about a layer.
func (m *materializer) warnOf(layer int) func(string) {
	return func(msg string) { m.opts.warn("layer %d: %s", layer, msg) }
}

// counted is the reader of a layer. It reports how much it has read.
type counted struct {
	io.ReadCloser
	m     *materializer
	l     *layerImage
	start time.Time
	done  atomic.Int64
	last  time.Duration
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	done := c.done.Add(int64(n))
	if now := time.Since(c.start); now-c.last > eventsApart {
		c.last = now
		c.m.opts.event(Event{StageLayer, pull.Event{Kind: pull.EventBytes, Layer: c.l.index, Digest: c.l.diffID, Done: done, Total: c.l.size}})
	}
	return n, err
}
