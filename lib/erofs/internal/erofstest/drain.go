package erofstest

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

// Drain reads everything in the image b.
func Drain(b []byte, devices ...read.Device) error {
	img, err := read.Open(bytes.NewReader(b), int64(len(b)), devices...)
	if err != nil {
		return err
	}
	src := tree.Limit(img.Source(), tree.Limits{TotalSize: 4 << 20, FileSize: 1 << 40, Entries: 1 << 20})
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

// Open opens the image b.
func Open(t testing.TB, b []byte) *read.Image {
	t.Helper()
	img, err := read.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return img
}
