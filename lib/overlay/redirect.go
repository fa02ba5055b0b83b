package overlay

import (
	"fmt"
	"strings"

	"ocipipe/lib/tree"
)

// follow returns the file below that a redirect of a file in the directory l leads to, and its
// path for messages; nil if there is none. A path that begins with a slash is one from the root
// of the images below; otherwise it is a name in the directory below that l shows.
func (b *builder) follow(l level, redirect, path string) (*tree.Node, error) {
	to, absolute := strings.CutPrefix(redirect, "/")
	if to == "." || tree.CheckPath(to) != nil || strings.IndexByte(to, 0) >= 0 || !absolute && strings.Contains(to, "/") {
		return nil, corrupt(path, "redirect to %q", redirect)
	}
	if absolute {
		return b.below.Lookup(to), nil
	}
	return l.child(to), nil
}

// renamed returns the directory below that f, a directory with a redirect, shows.
func (b *builder) renamed(l level, f *inode, path string) (*tree.Node, error) {
	if b.below == nil {
		return nil, &NeedsBelowError{path, fmt.Sprintf("directory that was renamed, with its content below at %q", f.redirect)}
	}
	from, err := b.follow(l, f.redirect, path)
	if err != nil {
		return nil, err
	}
	if from == nil || from.Entry.Type != tree.Dir {
		return nil, &BelowError{path, fmt.Sprintf("directory that was renamed, but they have no directory %q", f.redirect)}
	}
	return from, nil
}

// fetch gives f, a file called name in l that has only metadata, the content that lies below.
func (b *builder) fetch(l level, name string, f *inode, path string) error {
	if b.below == nil {
		return &NeedsBelowError{path, "file with only its attributes, and its content below"}
	}
	if err := checkMetacopy(path, f.metadata); err != nil {
		return err
	}
	from := l.child(name)
	if f.hasRedirect {
		var err error
		if from, err = b.follow(l, f.redirect, path); err != nil {
			return err
		}
	} else {
		f.redirect = name
	}
	if from == nil || from.Entry.Type != tree.File {
		return &BelowError{path, fmt.Sprintf("file with its content below, but they have no file %q", f.redirect)}
	}
	return b.take(f, from.Entry, path)
}

// take gives f the content of from, a file below.
func (b *builder) take(f *inode, from *tree.Entry, path string) error {
	if from.Size != f.entry.Size {
		return &BelowError{path, fmt.Sprintf("file of %d bytes with its content below, where it has %d", f.entry.Size, from.Size)}
	}
	f.entry.Extents, f.entry.Content, f.metacopy = from.Extents, from.Content, false
	return b.meter.Add(path, &tree.Entry{Path: path, Type: tree.File, Size: from.Size, Extents: from.Extents})
}
