package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"ocipipe/lib/ext4/audit"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/tree"
)

// hash is XXH3 with 128 bits. It finds faults of storage and mistakes of the writer; it is no
// proof against somebody who chooses what is read back.
type hash [16]byte

// verify reads the file system back. It compares every inode with the entry that was added,
// and every content with the hash that was taken when it was written, and audits all
// metadata.
func (w *Writer) verify(size int64) error {
	img, err := read.Open(w.out, size)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	want := w.tree.Source(tree.Flat)
	defer want.Close()
	err = audit.Check(w.ctx, img, audit.Options{Fresh: true, Entry: func(have *tree.Entry) error {
		e, err := want.Next()
		switch {
		case err == io.EOF || err == nil && e.Path > have.Path:
			return fmt.Errorf("%s: in the file system, but was not added", have.Path)
		case err != nil:
			return err
		case e.Path != have.Path:
			return fmt.Errorf("%s: not in the file system", e.Path)
		}
		if err := w.compare(want.Node().Entry, e, have); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		return nil
	}})
	if err == nil {
		var left *tree.Entry
		if left, err = want.Next(); err == nil {
			err = fmt.Errorf("%s: not in the file system", left.Path)
		} else if err == io.EOF {
			return nil
		}
	}
	return fmt.Errorf("check: %w", err)
}

// compare returns an error about the first difference between want, which was added and is
// inode in the tree, and have, from the file system.
func (w *Writer) compare(inode, want, have *tree.Entry) error {
	if err := tree.Difference(want, have, "the file system"); err != nil {
		return err
	}
	if want.Type != tree.File || want.Size == 0 || want.Hardlink != "" {
		return nil
	}
	return w.compareContent(inode, want, have)
}

// compareContent compares where the data is, and its hash.
func (w *Writer) compareContent(inode, want, have *tree.Entry) error {
	blocks := []tree.Extent{}
	eachPart(want, func(logical uint32, n uint64) {
		off := int64(logical) * disk.BlockSize
		blocks = append(blocks, tree.Extent{Off: off, Len: min(int64(n)*disk.BlockSize, want.Size-off)})
	})
	if len(blocks) == 1 && blocks[0].Len == want.Size {
		blocks = nil
	}
	if !slices.Equal(blocks, have.Extents) || (blocks == nil) != (have.Extents == nil) {
		return errors.New("holes are not where they were")
	}
	sum := &extentsWriter{w: w.hash, stopped: w.stopped, data: whole(want.Extents, want.Size), blocks: whole(blocks, want.Size)}
	if have.Content != nil {
		if _, err := have.Content.WriteTo(sum); err != nil {
			return err
		}
	}
	if w.takeHash() != w.hashes[inode] {
		return errors.New("content is not what was written")
	}
	return nil
}

// whole returns a copy of xs, in which one extent of size bytes replaces nil.
func whole(xs []tree.Extent, size int64) []tree.Extent {
	if xs == nil {
		return []tree.Extent{{Len: size}}
	}
	return slices.Clone(xs)
}

// extentsWriter takes the blocks of a file and passes on the bytes of its extents. All other
// bytes of the blocks must be zeros.
type extentsWriter struct {
	w      io.Writer
	data   []tree.Extent // extents whose data has not come yet; part of the first one may have
	blocks []tree.Extent // runs of blocks, likewise

	stopped func() error // returns why to stop, or nil
}

func (x *extentsWriter) Write(p []byte) (n int, err error) {
	if err := x.stopped(); err != nil {
		return 0, err
	}
	for len(p) > 0 {
		at := &x.blocks[0]
		k := min(int64(len(p)), at.Len)
		if len(x.data) > 0 && x.data[0].Off <= at.Off {
			k = min(k, x.data[0].Len)
			if _, err := x.w.Write(p[:k]); err != nil {
				return n, err
			}
			x.data[0].Off, x.data[0].Len = x.data[0].Off+k, x.data[0].Len-k
			if x.data[0].Len == 0 {
				x.data = x.data[1:]
			}
		} else {
			if len(x.data) > 0 {
				k = min(k, x.data[0].Off-at.Off)
			}
			if len(bytes.TrimLeft(p[:k], "\x00")) > 0 {
				return n, errors.New("there is something in a hole")
			}
		}
		at.Off, at.Len = at.Off+k, at.Len-k
		if at.Len == 0 {
			x.blocks = x.blocks[1:]
		}
		p, n = p[k:], n+int(k)
	}
	return n, nil
}
