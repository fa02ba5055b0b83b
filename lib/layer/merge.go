package layer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"

	"ocipipe/lib/tree"
)

// Input is a layer to be opened.
type Input struct {
	Name    string // for messages
	Options Options

	// Open starts reading the layer, compressed or not. Reading to the end
	// verifies whatever the opener vouches for.
	Open func() (io.ReadCloser, error)
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
		s.close()
	}
	return nil
}

// Load reads one layer as it is, marks included.
func Load(in Input, opts LoadOptions) (*Loaded, error) {
	t, s, err := load(in, opts)
	if err != nil {
		return nil, err
	}
	return &Loaded{Tree: t, spools: []*spool{s}}, nil
}

// Merge reads layers, given from bottom to top, and applies them to an empty
// tree. Some are read at the same time, but they are applied strictly in order;
// where several fail, the error is that of the lowest.
func Merge(inputs []Input, opts LoadOptions) (*Loaded, error) {
	merged := &Loaded{Tree: tree.NewFlat()}
	results := loadAll(inputs, opts)
	for i, in := range inputs {
		r := <-results[i]
		err := r.err
		if err == nil {
			merged.spools = append(merged.spools, r.spool)
			err = merged.Apply(r.tree)
		}
		if err != nil {
			merged.Close()
			if pe := (*fs.PathError)(nil); errors.As(err, &pe) && pe.Path == in.Name {
				return nil, err // which says so
			}
			return nil, fmt.Errorf("%s: %w", in.Name, err)
		}
	}
	return merged, nil
}

type loadResult struct {
	tree  *tree.Tree
	spool *spool
	err   error
}

// loadAll starts reading the inputs in order, opts.Jobs at a time, and returns a
// channel for the result of each.
func loadAll(inputs []Input, opts LoadOptions) []chan loadResult {
	jobs := opts.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	jobs = min(jobs, len(inputs))
	slots := make(chan struct{}, jobs)
	results := make([]chan loadResult, len(inputs))
	for i := range results {
		results[i] = make(chan loadResult, 1)
	}
	go func() {
		for i, in := range inputs {
			in.Options.Parallel = jobs
			slots <- struct{}{}
			go func() {
				t, s, err := load(in, opts)
				results[i] <- loadResult{t, s, err}
				<-slots
			}()
		}
	}()
	return results
}

func load(in Input, opts LoadOptions) (*tree.Tree, *spool, error) {
	r, err := in.Open()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	in.Options.Limits, in.Options.SpoolDir = opts.Limits, opts.SpoolDir
	src, err := NewReader(r, in.Options)
	if err != nil {
		return nil, nil, err
	}
	defer src.Close()
	s, err := newSpool(opts.SpoolDir)
	if err != nil {
		return nil, nil, err
	}
	t, err := tree.ReadLayer(tree.Limit(src, opts.Limits), s.keep)
	if err == nil {
		err = s.complete()
	}
	if err != nil {
		s.close()
		return nil, nil, err
	}
	return t, s, nil
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
			Size: int64(len(content)), Content: inMemory(content),
		})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// inMemory is content held as bytes.
type inMemory []byte

func (c inMemory) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c)
	return int64(n), err
}
