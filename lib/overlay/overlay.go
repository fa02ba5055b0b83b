package overlay

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"ocipipe/lib/ext4/read"
	"ocipipe/lib/tree"
)

// Directories of an upper disk.
const (
	upperDir = "upper"
	indexDir = "work/index"
)

// Options say how Changes reads a disk.
type Options struct {
	// UserXattr reads the marks of mounts with userxattr, user.overlay., in place of
	// trusted.overlay.
	UserXattr bool

	// Below is what was below the overlay; nil: it is not known.
	Below *Below

	// Exclude leaves out what was changed at or below these paths. It must be valid
	// ([tree.Pattern.Check]).
	Exclude []tree.Pattern

	// Limits bound the files of the upper directory, and those below that redirects lead to.
	Limits tree.Limits

	Warn func(string) // is called with what a layer cannot say; may be nil
}

// Below is the merged tree of the images below an overlay.
type Below struct {
	// Tree is flat. It must not be used while the source is, and not changed.
	Tree *tree.Tree

	// UUIDs are those of the images, from bottom to top; nil for what has none.
	UUIDs []*[16]byte

	// Names are the names of their inodes. Without it, names that only the index joins are
	// told of in a warning.
	Names *Names
}

// Changes returns the layer of what was changed in an overlay that had img as its upper disk,
// in canonical order. It reads all metadata before it returns; contents lie in img and in the
// images below, and are read at random. The first entry is the root, with the attributes of
// the upper directory.
func Changes(img *read.Image, opts Options) (tree.Source, error) {
	upper, err := img.Subtree(upperDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoUpper
	}
	if err != nil {
		return nil, err
	}
	index, err := img.Subtree(indexDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return changes(upper, index, opts)
}

// changes is Changes for the content of the upper directory and of the index, which may be nil.
func changes(upper, index tree.Source, opts Options) (tree.Source, error) {
	b := &builder{opts: opts, prefix: prefixOf(opts.UserXattr), meter: tree.NewMeter(opts.Limits), out: tree.New(), inodes: make(map[*tree.Entry]*inode)}
	names := &upperSource{Source: upper, paths: make(map[uint64]string)}
	var err error
	if b.upper, err = tree.TakeLayer(b.meter.Limit(names), nil); err != nil {
		return nil, below(upperDir, err)
	}
	b.upper.CountLinks()
	if opts.Below != nil {
		b.below = opts.Below.Tree
		b.below.CountLinks()
	}
	var files []indexed
	if index != nil {
		if files, err = b.readIndex(index); err != nil {
			return nil, below(indexDir, err)
		}
	}
	if err := b.build(files, names.paths); err != nil {
		return nil, err
	}
	b.warn()
	return b.out.Source(tree.Layer), nil
}

// below puts the directory before the path that an error begins with, except that of a limit.
func below(dir string, err error) error {
	if errors.As(err, new(*tree.LimitError)) {
		return err
	}
	return fmt.Errorf("%s/%w", dir, err)
}

// numbered is a source that knows the inode of the entry that it has returned last.
type numbered interface{ Inode() uint64 }

// upperSource yields the files of the upper directory, each whiteout as an inode of its own, and
// gives them away. It notes the first path of inodes with several names.
type upperSource struct {
	tree.Source
	paths map[uint64]string
}

func (s *upperSource) Next() (*tree.Entry, error) {
	e, err := s.Source.Next()
	if err != nil {
		return nil, err
	}
	if e.IsWhiteout() {
		return &tree.Entry{Path: e.Path, Type: tree.Char}, nil
	}
	if n, ok := s.Source.(numbered); ok && e.Nlink > 1 && e.Type != tree.Dir && e.Hardlink == "" {
		s.paths[n.Inode()] = e.Path
	}
	own := *e
	return &own, nil
}

// Exclude returns src, a flat tree or a layer, without the files at and below the paths that fit
// patterns. It reads all metadata before it returns, so that a hard link to a file that is left
// out becomes the file. Contents must stay valid.
func Exclude(src tree.Source, patterns []tree.Pattern, form tree.Form) (tree.Source, error) {
	whole, err := tree.ReadLayer(src, nil)
	if err != nil {
		return nil, err
	}
	kept, all := tree.New(), whole.Source(form)
	for {
		e, err := all.Next()
		if err == io.EOF {
			return kept.Source(form), nil
		}
		if err != nil {
			return nil, err
		}
		if !excluded(e.Path, patterns) {
			kept.Set(e.Path, all.Node().Entry)
		}
	}
}

func excluded(path string, patterns []tree.Pattern) bool {
	return slices.ContainsFunc(patterns, func(p tree.Pattern) bool { return p.Matches(path) })
}
