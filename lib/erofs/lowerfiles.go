package erofs

import (
	"fmt"
	"iter"
	"math"
	"slices"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
)

// lowerFiles are the compressed files of a merged tree. Their clusters stay in the images of
// the layers; the lists of extents are made anew, since they have addresses, and because the
// form of a list depends on where it lies.
type lowerFiles struct {
	zFeatures
	bs      int64
	lists   []z.Relisting
	room    map[*read.Image]int64 // bytes that the lists of files in an image may still have
	layers  []merge.Layer         // the images, with their names
	stopped func() error          // returns why to stop, or nil

	wrong *item // the first file whose extents cannot be listed
	err   error // and why
}

// add reads the extents of c, the content of it, whose header is h.
func (l *lowerFiles) add(it *item, c *read.Content, h z.Header) {
	if l.err == nil {
		if l.err = l.list(it, c, h); l.err != nil {
			l.wrong = it
		}
	}
}

// refused is the error about l.wrong, whose path in the tree is given.
func (l *lowerFiles) refused(path string) error {
	img := l.wrong.lower().Image()
	i := slices.IndexFunc(l.layers, func(layer merge.Layer) bool { return layer.Image == img })
	return fmt.Errorf("%s: %s: %w", l.layers[i].Name, path, l.err)
}

func (l *lowerFiles) list(it *item, c *read.Content, h z.Header) error {
	img := c.Image()
	if l.room[img] -= c.IndexSize(); l.room[img] < 0 {
		return fmt.Errorf("lists of extents overlap: all together are longer than the image: %w", read.ErrCorrupt)
	}
	var u z.Usage
	list, err := z.NewRelisting(l.extents(c), h, it.entry.Size, img.Size(), l.bs, &u)
	if err != nil {
		return err
	}
	l.use(&u, img.Compression())
	it.layout = disk.CompressedFull
	if list.Index == z.Compact {
		it.layout = disk.CompressedCompact
	}
	it.tail = int64(len(l.lists))
	l.lists = append(l.lists, list)
	return nil
}

// use adds what a file uses, in an image with the given configuration.
func (l *lowerFiles) use(u *z.Usage, have z.Config) {
	l.used = true
	l.big = l.big || u.Big
	l.exact = l.exact || u.Exact
	l.partial = l.partial || u.Partial
	all := &l.config
	all.Algorithms |= u.Algorithms
	for _, a := range []z.Algorithm{z.LZ4, z.Deflate, z.Zstd} {
		if u.Algorithms>>a&1 == 0 {
			continue
		}
		switch a {
		case z.LZ4:
			if have.Distance == 0 { // this stands for the longest
				have.Distance = z.MaxDistance
			}
			all.Distance = max(all.Distance, have.Distance)
			all.PClusterBlocks = max(all.PClusterBlocks, have.PClusterBlocks, clusterBlocks(u.Largest, l.bs, u.Exact))
		case z.Deflate:
			all.WindowBits = max(all.WindowBits, have.WindowBits)
		case z.Zstd:
			all.WindowLog = max(all.WindowLog, have.WindowLog)
		}
	}
}

// stopEvery is after how many extents a list stops, if it has to.
const stopEvery = 1 << 12

// extents yields the extents of c until the writer is stopped.
func (l *lowerFiles) extents(c *read.Content) iter.Seq2[z.Extent, error] {
	return func(yield func(z.Extent, error) bool) {
		n := 0
		for x, err := range c.Clusters() {
			if n++; err == nil && n%stopEvery == 0 {
				err = l.stopped()
			}
			if !yield(x, err) || err != nil {
				return
			}
		}
	}
}

func (l *lowerFiles) fullSize(it *item) int64 {
	at := disk.RoundUp(it.bareSize(), z.HeaderAlign)
	return at + l.lists[it.tail].Bytes(at, it.size(), l.bs)
}

func (l *lowerFiles) blocks(it *item) uint32 {
	return uint32(min(disk.Blocks(l.lists[it.tail].Stored, l.bs), math.MaxUint32))
}

func (l *lowerFiles) writeIndex(it *item, off int64, put func(b []byte) error) error {
	at := disk.RoundUp(off, z.HeaderAlign)
	if at > off {
		if err := put(zeros[:at-off]); err != nil {
			return err
		}
	}
	return l.lists[it.tail].Write(l.extents(it.lower()), at, int64(it.start)*l.bs, it.size(), l.bs, put)
}
