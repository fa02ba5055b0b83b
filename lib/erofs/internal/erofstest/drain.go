package erofstest

import (
	"bytes"
	"testing"

	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/treetest"
)

// Drain reads everything in the image b.
func Drain(b []byte, devices ...read.Device) error {
	img, err := read.Open(bytes.NewReader(b), int64(len(b)), devices...)
	if err != nil {
		return err
	}
	return treetest.Drain(img.Source(), tree.Limits{TotalSize: 4 << 20, FileSize: 1 << 40, Entries: 1 << 20})
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
