package read

import (
	"fmt"
	"math/bits"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/tree"
)

// Space counts the bytes that contents take in images. A block that several contents share
// counts for the first of them. A part of the file for parts of files counts as much of what
// that takes as it is a part of it. Its zero value has counted nothing. It takes memory for
// the blocks that were counted, a bit for each.
type Space struct {
	taken  map[spacePage]*[spaceWords]uint64
	packed map[*Image]float64 // bytes that one of the packed inode takes
}

// spacePage is so many blocks of a device that begin at block page*spaceBlocks.
type spacePage struct {
	img    *Image
	device int
	page   int64
}

const (
	spaceBlocks = 1 << 15
	spaceWords  = spaceBlocks / 64
)

// Stored returns how many bytes the content of e takes that no content before has taken: whole
// blocks, or as many bytes as there are where the data does not begin with a block. It returns
// 0 if the content is not from an image.
func (s *Space) Stored(e *tree.Entry) (n int64, err error) {
	c, ok := e.Content.(*Content)
	if !ok {
		return 0, nil
	}
	return s.add(c)
}

func (s *Space) add(c *Content) (n int64, err error) {
	for _, r := range c.runs {
		if r.Pos%c.img.bs != 0 {
			n += r.Len
			continue
		}
		n += s.take(c.img, r.Device, r.Pos, r.Len)
	}
	for x, err := range c.Clusters() {
		if err != nil {
			return n, err
		}
		k, err := s.addCluster(c, &x)
		if err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

func (s *Space) addCluster(c *Content, x *z.Extent) (int64, error) {
	switch {
	case isHole(x):
		return 0, nil
	case x.Fragment:
		return s.partStored(c.img, x.Len)
	}
	device, pos, err := c.locateCluster(x)
	if err != nil {
		return 0, err
	}
	if x.Exact && c.z.file.Header().Index != z.Encoded { // behind the index, among metadata
		return x.Size, nil
	}
	return s.take(c.img, device, pos, x.Size), nil
}

// take marks the blocks of size bytes at pos of a device, and returns how many bytes those
// have that were not marked.
func (s *Space) take(img *Image, device int, pos, size int64) (n int64) {
	first, end := pos/img.bs, (pos+size+img.bs-1)/img.bs
	for at := first; at < end; {
		page, in := at/spaceBlocks, at%spaceBlocks
		count := min(end-at, spaceBlocks-in)
		n += mark(s.page(spacePage{img, device, page}), int(in), int(count))
		at += count
	}
	return n * img.bs
}

func (s *Space) page(p spacePage) *[spaceWords]uint64 {
	words := s.taken[p]
	if words == nil {
		if s.taken == nil {
			s.taken = make(map[spacePage]*[spaceWords]uint64)
		}
		words = new([spaceWords]uint64)
		s.taken[p] = words
	}
	return words
}

// mark sets n bits from bit first on, and returns how many were not set.
func mark(words *[spaceWords]uint64, first, n int) (fresh int64) {
	for n > 0 {
		in := first % 64
		k := min(n, 64-in)
		set := (^uint64(0) >> (64 - k)) << in
		fresh += int64(bits.OnesCount64(set &^ words[first/64]))
		words[first/64] |= set
		first, n = first+k, n-k
	}
	return fresh
}

// partStored is what n bytes of the packed inode take.
func (s *Space) partStored(img *Image, n int64) (int64, error) {
	ratio, ok := s.packed[img]
	if !ok {
		packed, err := img.packedContent()
		if err != nil {
			return 0, fmt.Errorf("parts of files: %w", err)
		}
		for x, err := range packed.Clusters() { // before they are counted, which would ask for themselves
			if err == nil && x.Fragment {
				err = corrupt(disk.SuperOffset, "the inode with parts of files is a part of itself")
			}
			if err != nil {
				return 0, err
			}
		}
		stored, err := s.add(packed)
		if err != nil {
			return 0, err
		}
		ratio = float64(stored) / float64(max(1, packed.size))
		if s.packed == nil {
			s.packed = make(map[*Image]float64)
		}
		s.packed[img] = ratio
	}
	return int64(float64(n) * ratio), nil
}
