package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"

	"ocipipe/lib/tree"
	"ocipipe/lib/unzstd"
)

// Input is a layer to be opened.
type Input struct {
	Name    string // for messages
	Options Options

	// Open starts reading the layer, compressed or not. Reading to the end
	// verifies whatever the opener vouches for. Open, and Read of what it returned, stop
	// waiting when ctx is done; one that does not delays the end of Merge. Read may
	// still return what is there. Neither waits for another layer to be read, as that
	// may wait for this one.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// LoadOptions say how layers are taken into memory.
type LoadOptions struct {
	Jobs     int    // layers read at a time; 0: as many as there are processors
	SpoolDir string // for the contents
	Limits   tree.Limits
}

// Loaded is a tree in memory whose contents lie in spool files.
type Loaded struct {
	*tree.Tree
	spools []*spool
}

// Close frees the spool files.
func (l *Loaded) Close() error {
	for _, s := range l.spools {
		if s != nil {
			s.close()
		}
	}
	return nil
}

// Load reads one layer as it is, marks included.
func Load(ctx context.Context, in Input, opts LoadOptions) (*Loaded, error) {
	in.Options.Limits, in.Options.meter = opts.Limits, nil
	t, s, err := load(ctx, ctx, in, opts, new(windows))
	if err != nil {
		return nil, err
	}
	return &Loaded{Tree: t, spools: []*spool{s}}, nil
}

// Merge reads layers, given from bottom to top, and applies them to an empty
// tree. Some are read at the same time, but they are applied strictly in order. Of those
// of zstd one at a time has a window above 8 MiB (see unzstd.Window): no layer waits for
// another to be read or applied, so that the one that has it always goes on.
//
// After a layer has failed no other is opened, and those above it are stopped. Those
// below are read on as long as they do not have to wait, so that the error is that of
// the lowest layer that fails. When Merge returns an error, nothing of it is running or
// open.
func Merge(ctx context.Context, inputs []Input, opts LoadOptions) (*Loaded, error) {
	jobs := opts.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	jobs = min(jobs, len(inputs))
	l := &Loaded{spools: make([]*spool, len(inputs))}
	meter, window, shared := tree.NewMeter(opts.Limits), unzstd.NewWindow(), new(windows)
	t, i, err := tree.MergeAll(ctx, len(inputs), jobs, func(waits, works context.Context, i int) (t *tree.Tree, err error) {
		in := inputs[i]
		in.Options.Parallel, in.Options.Limits = jobs, opts.Limits
		in.Options.meter = meter
		if in.Options.Window == nil {
			in.Options.Window = window
		}
		t, l.spools[i], err = load(waits, works, in, opts, shared)
		return t, err
	})
	if err != nil {
		l.Close()
		if pe := (*fs.PathError)(nil); i < 0 || errors.As(err, &pe) && pe.Path == inputs[i].Name {
			return nil, err // which says so
		}
		return nil, fmt.Errorf("%s: %w", inputs[i].Name, err)
	}
	l.Tree = t
	return l, nil
}

// load reads a layer. It stops when works is done, and stops waiting for its input when
// waits is.
func load(waits, works context.Context, in Input, opts LoadOptions, shared *windows) (*tree.Tree, *spool, error) {
	in.Options.SpoolDir, in.Options.works = opts.SpoolDir, works
	open := in.Open
	in.Open = func(ctx context.Context) (io.ReadCloser, error) {
		r, err := open(ctx)
		return &stoppable{r, works}, err
	}
	src, err := Open(waits, in)
	if err != nil {
		return nil, nil, err
	}
	defer src.Close()
	s, err := newSpool(opts.SpoolDir, shared)
	if err != nil {
		return nil, nil, err
	}
	t, err := tree.ReadLayer(src, s.keep)
	if err == nil {
		err = s.complete()
	}
	if err != nil {
		s.close()
		return nil, nil, err
	}
	return t, s, nil
}

// stoppable is a reader that fails once ctx is done, even if it never has to wait.
type stoppable struct {
	io.ReadCloser
	ctx context.Context
}

func (s *stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.ReadCloser.Read(p)
}

// Open opens a layer as a source within the limits. Its Close closes the input too, and
// does not wait for an input that is silent.
func Open(ctx context.Context, in Input) (tree.Source, error) {
	ctx, cancel := context.WithCancel(ctx)
	r, err := in.Open(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	src, err := NewReader(r, in.Options)
	if err != nil {
		cancel()
		r.Close()
		return nil, err
	}
	return src.opts.meter.Limit(&opened{src, r, cancel}), nil
}

// opened is a layer with its input.
type opened struct {
	*Reader
	in     io.Closer
	cancel func() // ends what in waits for
}

func (o *opened) Close() error {
	o.cancel()
	err := o.Reader.Close()
	o.in.Close() // it was only read
	return err
}

// Source yields the tree; its Close closes l.
func (l *Loaded) Source(form tree.Form) tree.Source {
	return &loadedSource{l.Tree.Source(form), l}
}

type loadedSource struct {
	tree.Source
	loaded *Loaded
}

func (s *loadedSource) Close() error { return s.loaded.Close() }

// PutFile puts a file with the given content into l: 0644 of root at the time 0,
// in place of what the path names. Parents are followed through symbolic links.
func (l *Loaded) PutFile(path string, content []byte) error {
	clean, err := cleanPath(path)
	if err == nil {
		clean, err = l.Resolve(clean)
	}
	if err == nil {
		_, err = l.Put(&tree.Entry{
			Path: clean, Type: tree.File, Mode: 0o644,
			Size: int64(len(content)), Content: tree.Bytes(content),
		})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
