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

// Input is a layer that can be opened.
type Input struct {
	Name    string // for messages
	Options Options

	// Open starts to read the layer, compressed or not. Its reader may verify the layer
	// by its end. Open and Read must stop waiting when ctx is done; otherwise they
	// delay the end of Merge. After that Read may still return bytes without waiting.
	// Neither may wait until another layer is read, as that may wait for this one.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// LoadOptions say how layers are loaded into memory.
type LoadOptions struct {
	Jobs     int    // layers to read at a time; 0 means one for each processor
	SpoolDir string // for the spool files with the contents
	Limits   tree.Limits

	// Visit, if it is not nil, is called with each entry of a layer, whose number counts from
	// the bottom, before it enters the tree. Layers are visited at the same time. The content
	// of the entry cannot be kept: Visit may put another in its place, which the tree gets,
	// and nothing is spooled. An error ends Load or Merge.
	Visit func(layer int, e *tree.Entry) error

	// Keep, if it is not nil, says whether the content of an entry of a layer is kept. In place
	// of the others the tree gets a [LeftOut]. Keep is called as Visit is, and does not go with it.
	Keep func(layer int, e *tree.Entry) bool
}

// LeftOut is in place of a content that was not kept. To write it is an error, ErrLeftOut.
type LeftOut struct {
	Layer int    // from 0 at the bottom
	Path  string // in that layer
}

// ErrLeftOut is the error of every LeftOut.
var ErrLeftOut = errors.New("the content was left out")

// WriteTo implements [tree.Content].
func (LeftOut) WriteTo(io.Writer) (int64, error) { return 0, ErrLeftOut }

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
	t, s, err := load(ctx, ctx, 0, in, opts, new(windows))
	if err != nil {
		return nil, err
	}
	return &Loaded{Tree: t, spools: []*spool{s}}, nil
}

// Merge reads layers, given from bottom to top, and applies them to an empty tree. It reads
// several at the same time, but applies them strictly in order. Only one layer at a time
// has a zstd window above 8 MiB (see unzstd.Window). No layer waits for another to be read
// or applied, so the one that has the window always goes on.
//
// After a layer has failed Merge opens no other, and stops those above it. It goes on
// reading those below as long as they do not have to wait, so that it returns the error of
// the lowest layer that fails. When Merge returns an error, it has ended all goroutines and
// closed all files. The caller closes the result.
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
		t, l.spools[i], err = load(waits, works, i, in, opts, shared)
		return t, err
	})
	if err != nil {
		l.Close()
		if pe := (*fs.PathError)(nil); i < 0 || errors.As(err, &pe) && pe.Path == inputs[i].Name {
			return nil, err // the error names the layer
		}
		return nil, fmt.Errorf("%s: %w", inputs[i].Name, err)
	}
	l.Tree = t
	return l, nil
}

// load reads layer number i. It stops when works is done. When waits is done, it stops waiting for
// its input.
func load(waits, works context.Context, i int, in Input, opts LoadOptions, shared *windows) (*tree.Tree, *spool, error) {
	in.Options.SpoolDir, in.Options.works, in.Options.GivesAway = opts.SpoolDir, works, true
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
	if opts.Visit != nil {
		t, err := tree.TakeLayer(&visited{src, opts.Visit, i}, nil)
		return t, nil, err
	}
	if opts.Keep != nil {
		src = &visited{src, leaveOut(opts.Keep), i}
	}
	s, err := newSpool(opts.SpoolDir, shared)
	if err != nil {
		return nil, nil, err
	}
	t, err := tree.TakeLayer(src, func(e *tree.Entry) (tree.Content, error) {
		if out, ok := e.Content.(LeftOut); ok {
			return out, nil
		}
		return s.keep(e)
	})
	if err == nil {
		err = s.complete()
	}
	if err != nil {
		s.close()
		return nil, nil, err
	}
	return t, s, nil
}

// leaveOut returns what visits entries and leaves out the contents that keep refuses.
func leaveOut(keep func(layer int, e *tree.Entry) bool) func(layer int, e *tree.Entry) error {
	return func(layer int, e *tree.Entry) error {
		if e.Content != nil && !keep(layer, e) {
			e.Content = LeftOut{layer, e.Path}
		}
		return nil
	}
}

// visited calls visit with each entry.
type visited struct {
	tree.Source
	visit func(layer int, e *tree.Entry) error
	layer int
}

func (v *visited) Next() (*tree.Entry, error) {
	e, err := v.Source.Next()
	if err == nil {
		err = v.visit(v.layer, e)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
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

// Open opens a layer as a source within the limits. Closing the source closes the input
// too, and does not wait for a silent input.
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
	cancel func() // ends the waits of in
}

func (o *opened) Close() error {
	o.cancel()
	err := o.Reader.Close()
	o.in.Close() // it was only read
	return err
}

// Source returns a source of the tree. Closing the source closes l.
func (l *Loaded) Source(form tree.Form) tree.Source {
	return &loadedSource{l.Tree.Source(form), l}
}

type loadedSource struct {
	tree.Source
	loaded *Loaded
}

func (s *loadedSource) Close() error { return s.loaded.Close() }

// PutFile puts a file with the given content into l, in place of what the path names: 0644,
// of root, with the time 0. It follows symbolic links among the parents.
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
