package erofs

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

var (
	// ErrLayers is wrapped by the errors about layer images that cannot be devices of one
	// image.
	ErrLayers = errors.New("layer images do not fit")
	// ErrTooLong is wrapped by the error about layer images that have too many blocks
	// together. It wraps ErrLayers.
	ErrTooLong = fmt.Errorf("%w: over 2^32 blocks together", ErrLayers)
)

// WriteFsmeta merges layers, given from bottom to top, and writes a metadata-only image of
// the result to out. Contents stay in the layers, compressed or not; WriteFsmeta reads only
// metadata. The layers become the devices of the image, in this order. A layer that is given several
// times is one device. Without layers the image is one of an empty directory.
//
// The image has the block size of the layers, so opts must have neither BlockSize, Layer nor
// Compression. With opts.Check, WriteFsmeta reads the image back, with the layers as its
// devices, and compares it with the merged tree and the places of its contents. When ctx is
// done, WriteFsmeta returns its cause.
func WriteFsmeta(ctx context.Context, out Output, layers []merge.Layer, limits tree.Limits, opts Options) error {
	if opts.Layer || opts.BlockSize != 0 || opts.Compression != nil {
		return errors.New("an image of merged layers is flat, and has their block size and compression")
	}
	devices, err := layerDevices(layers)
	if err != nil {
		return err
	}
	if len(layers) > 0 {
		opts.BlockSize = layers[0].Image.BlockSize()
	}
	w, err := NewWriter(ctx, out, opts)
	if err != nil {
		return err
	}
	w.devices = devices
	w.indexRoom = indexRoom(layers)
	w.beginAt(headEnd(w.bs, w.spareSlots()+w.slots()))
	w.tree, err = merge.Layers(ctx, layers, merge.Options{Limits: limits, Warn: opts.Warn, Addressable: true})
	if err != nil {
		w.Abort(err)
		return err
	}
	return w.Close()
}

// layerDevices returns the distinct images among layers, in order.
func layerDevices(layers []merge.Layer) (devices []merge.Layer, err error) {
	seen := make(map[*read.Image]bool)
	for _, l := range layers {
		first, img := layers[0], l.Image
		switch bs, want := img.BlockSize(), first.Image.BlockSize(); {
		case bs != want:
			return nil, fmt.Errorf("%s: %w: blocks of %d bytes, and those of %s have %d", l.Name, ErrLayers, bs, first.Name, want)
		case img.Size()%int64(bs) != 0:
			return nil, fmt.Errorf("%s: %w: %d bytes are not a multiple of the block size %d", l.Name, ErrLayers, img.Size(), bs)
		}
		if !seen[img] {
			seen[img] = true
			devices = append(devices, l)
		}
	}
	if len(devices) > disk.MaxDevices {
		return nil, fmt.Errorf("%w: %d are over the %d of the format", ErrLayers, len(devices), disk.MaxDevices)
	}
	return devices, nil
}

// slots is the number of slots in the table of devices.
func (w *Writer) slots() int {
	if w.opts.NoDeviceTable {
		return 0
	}
	return len(w.devices)
}

// spareSlots is the number of slots before the table of devices. They are for the records of
// compression: 1, or 0 if no layer is compressed.
func (w *Writer) spareSlots() int {
	compressed := func(l merge.Layer) bool { return l.Image.Compressed() }
	if w.slots() > 0 && slices.ContainsFunc(w.devices, compressed) {
		return 1
	}
	return 0
}

// indexRoom is, for each image, how many bytes the lists of the extents of its files may have
// together: they do not overlap, but each of the layers has them.
func indexRoom(layers []merge.Layer) map[*read.Image]int64 {
	room := make(map[*read.Image]int64)
	for _, l := range layers {
		room[l.Image] += l.Image.Size()
	}
	return room
}

// locate makes it, a file of a merged tree, refer to its data in another image.
func (it *item) locate(bs int64) {
	var runs []read.Run
	if c := it.lower(); c != nil {
		runs = c.Runs()
	}
	if len(runs) == 1 && runs[0].Len == it.entry.Size {
		it.start = uint32(runs[0].Pos / bs)
		return
	}
	it.layout = disk.ChunkBased
	it.chunkBits = exactBits(runs, it.entry.Size, bs)
}

// exactBits chooses the size of chunks, bs<<bits, so that each chunk is either a hole or
// contiguous. Of these sizes it takes those with the shortest map, and of them the smallest.
func exactBits(runs []read.Run, size, bs int64) uint8 {
	breaks := int64(0) // bitwise or of the numbers of all blocks at which a run begins or ends
	for _, r := range runs {
		breaks |= r.Off / bs
		if end := r.End(); end < size {
			breaks |= end / bs
		}
	}
	exact := uint8(min(bits.TrailingZeros64(uint64(breaks)), maxChunkBits))
	return smallestMap(exact, size, bs)
}

// placeDevices gives the devices their addresses, one after the other and all after the
// image, and adds the addresses to the items that refer to the devices.
func (p *plan) placeDevices(devices []merge.Layer) error {
	base := make(map[*read.Image]int64, len(devices))
	end := p.end
	for _, d := range devices {
		base[d.Image] = end / p.bs
		p.slots = append(p.slots, disk.DeviceSlot{
			Tag:    disk.TagOf(d.Image.UUID()),
			Blocks: uint32(d.Image.Size() / p.bs),
			First:  uint32(end / p.bs),
		})
		end += d.Image.Size()
		if end/p.bs > disk.MaxBlocks {
			return fmt.Errorf("%s: %w", d.Name, ErrTooLong)
		}
	}
	for _, it := range p.items {
		if c := it.lower(); c != nil {
			it.start += uint32(base[c.Image()])
		}
	}
	p.total = end
	return nil
}
