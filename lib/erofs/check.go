package erofs

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/tree"
)

// hash is XXH3 with 128 bits. It finds faults of storage and mistakes of the writer; it is no
// proof against somebody who chooses what is read back.
type hash [16]byte

// written is how the content of a file has been written.
type written struct {
	hash      hash
	chunked   bool
	chunkBits uint8
}

// verify reads the image back and compares every inode with the entry that was added. It
// compares every content with the hash that was taken when it was written, or, if it is on
// a device, with its place there.
func (w *Writer) verify(p *plan) error {
	var devices []read.Device
	for _, l := range w.devices {
		devices = append(devices, l.Image.Device(l.Name))
	}
	img, err := read.Open(w.out, p.end, devices...)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if err := w.compareTable(p, img); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if err := p.compareConfig(img); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	form := tree.Flat
	if w.opts.Layer {
		form = tree.Layer
	}
	want, have := w.tree.Source(form), img.Source()
	defer have.Close()
	for {
		a, err := want.Next()
		if err != nil && err != io.EOF {
			return err
		}
		if err := w.stopped(); err != nil {
			return err
		}
		b, err2 := have.Next()
		if err2 != nil && err2 != io.EOF {
			return fmt.Errorf("check: %w", err2)
		}
		switch {
		case err == io.EOF && err2 == io.EOF:
			return nil
		case err2 == io.EOF || err == nil && a.Path < b.Path:
			return fmt.Errorf("check: %s: not in the image", a.Path)
		case err == io.EOF || a.Path != b.Path:
			return fmt.Errorf("check: %s: in the image, but was not added", b.Path)
		}
		err = tree.Difference(a, b, "the image")
		if err == nil && a.Type == tree.File && a.Size > 0 && a.Hardlink == "" && !a.IsLower() {
			err = w.compareContent(p, want.Node().Entry.Inode(), a, b)
		}
		if err != nil {
			return fmt.Errorf("check: %s: %w", a.Path, err)
		}
	}
}

// compareContent compares where the data is, and its hash. In the tree a is inode.
func (w *Writer) compareContent(p *plan, inode, a, b *tree.Entry) error {
	if w.devices != nil {
		lower, _ := a.Content.(*read.Content)
		return w.compareRuns(p, lower, b)
	}
	was := w.written[inode]
	var runs []tree.Extent
	if was.chunked {
		runs = chunkRuns(a.Extents, a.Size, w.bs<<was.chunkBits)
		if len(runs) == 1 && runs[0].Len == a.Size {
			runs = nil
		}
	}
	if !slices.Equal(runs, b.Extents) {
		return errors.New("holes are not where they were")
	}
	if b.Content != nil {
		if _, err := b.Content.WriteTo(untilStopped{w}); err != nil {
			return err
		}
	}
	if w.sumUp() != was.hash {
		return errors.New("content is not what was written")
	}
	return nil
}

// untilStopped hashes what is written to it until its Writer is stopped.
type untilStopped struct{ w *Writer }

func (u untilStopped) Write(p []byte) (int, error) {
	if err := u.w.stopped(); err != nil {
		return 0, err
	}
	return u.w.hash.Write(p)
}

// compareTable compares the devices in the image with those that were planned.
func (w *Writer) compareTable(p *plan, img *read.Image) error {
	table := img.DeviceTable()
	if len(table) != len(p.slots) {
		return fmt.Errorf("%d devices in the image, planned were %d", len(table), len(p.slots))
	}
	for i, want := range p.slots {
		if p.tableLen == 0 {
			want.Tag = [disk.DeviceTagSize]byte{} // an image without a table has no tags
		}
		if have := table[i]; have != want {
			return fmt.Errorf("device %d: %d blocks from %d in the image, planned were %d from %d, or the tag differs", i+1, have.Blocks, have.First, want.Blocks, want.First)
		}
	}
	return nil
}

// compareConfig compares what img says about its compression with what was planned.
func (p *plan) compareConfig(img *read.Image) error {
	if p.packed == nil || !p.packed.features().needsConfig() {
		return nil
	}
	want := p.packed.features().config
	if want.Has(z.LZ4) {
		want.PClusterBlocks = max(want.PClusterBlocks, 1) // the same
	}
	if have := img.Compression(); have != want {
		return fmt.Errorf("compression in the image: %+v, planned was %+v", have, want)
	}
	return nil
}

// compareRuns compares where e, from the image, has its data with where the layer
// has it that want comes from.
func (w *Writer) compareRuns(p *plan, want *read.Content, e *tree.Entry) error {
	have, _ := e.Content.(*read.Content)
	if want == nil || have == nil {
		if want != nil || have != nil {
			return errors.New("data or a hole is not where it was")
		}
		return nil
	}
	if err := have.Err(); err != nil {
		return err
	}
	device := slices.IndexFunc(w.devices, func(l merge.Layer) bool { return l.Image == want.Image() })
	if _, ok := want.Header(); ok {
		return w.compareClusters(want, have, int64(p.slots[device].First)*w.bs, w.devices[device].Name)
	}
	same := slices.EqualFunc(want.Runs(), have.Runs(), func(a, b read.Run) bool {
		return a.Extent == b.Extent && a.Pos == b.Pos && b.Device == device+1
	})
	if !same {
		return fmt.Errorf("data is not where %s has it", w.devices[device].Name)
	}
	return nil
}

// compareClusters compares the extents of have, a compressed file of the image, with those of
// want, which the layer has whose device begins at byte base.
func (w *Writer) compareClusters(want, have *read.Content, base int64, layer string) error {
	next, stop := iter.Pull2(have.Clusters())
	defer stop()
	n := 0
	for a, err := range want.Clusters() {
		if n++; err == nil && n%stopEvery == 0 {
			err = w.stopped()
		}
		if err != nil {
			return err
		}
		b, err, ok := next()
		if err != nil {
			return err
		}
		if a.Size > 0 {
			a.Pos += base
		}
		if !ok || a != b {
			return fmt.Errorf("extents are not those of %s: %v in the image, expected %v", layer, b, a)
		}
	}
	if _, err, ok := next(); ok || err != nil {
		return fmt.Errorf("more extents than %s has: %w", layer, errors.Join(read.ErrCorrupt, err))
	}
	return nil
}
