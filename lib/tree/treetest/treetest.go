// Package treetest is for tests of sources.
package treetest

import (
	"fmt"
	"io"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// Drain reads all entries and contents of src, within limits. It returns an error if a
// content has another length than its entry says.
func Drain(src tree.Source, limits tree.Limits) error {
	src = tree.Limit(src, limits)
	for {
		e, err := src.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if e.Content == nil {
			continue
		}
		n, err := e.Content.WriteTo(io.Discard)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		if n != e.DataSize() {
			return fmt.Errorf("%s: content of %d bytes, expected %d", e.Path, n, e.DataSize())
		}
	}
}

// Next shows the entries of src, and their contents, to [reftest.Partly].
func Next(src tree.Source) reftest.Next {
	return func() (string, io.WriterTo, error) {
		e, err := src.Next()
		if err != nil {
			return "", nil, err
		}
		entry := *e
		entry.Content = nil
		return fmt.Sprintf("%+v", entry), e.Content, nil
	}
}
