package ext4

import (
	"cmp"
	"slices"

	"ocipipe/lib/ext4/alloc"
	"ocipipe/lib/ext4/disk"
)

// layout is the places of everything that does not belong to a file.
type layout struct {
	geo     geometry
	places  []groupPlace
	areas   []alloc.Area // of places
	journal []alloc.Area
	nodes   []uint64 // blocks of its extent tree
	resize  uint64   // block of the resize inode; 0: none
	end     uint64   // the first block after the whole layout
}

const (
	maxJournal      = 10240000 // blocks; the limit of mke2fs
	defaultReserved = 127
)

// area is how many blocks after a superblock are kept for descriptors, if descriptors take
// gdt blocks. Without resize_inode the blocks that descriptors do not need become free, but
// hold no file, because which ones these are is known only after the files are written.
func (o *Options) area(gdt uint64) uint64 {
	desc := o.Features.descSize()
	n := gdt + defaultReserved
	switch {
	case o.MaxSize != 0:
		n = disk.DescBlocks(uint64(o.MaxSize)/disk.BlockSize, desc)
	case o.Size == 0:
		n = disk.DescBlocks(DefaultMaxSize/disk.BlockSize, desc)
	case !o.Features.has(resizeInode):
		return gdt
	}
	return max(gdt, min(n, disk.DescBlocks(maxResizeBlock, desc)))
}

// geometry returns the geometry for the given number of blocks, and at least so many inodes
// if possible.
func (o *Options) geometry(blocks, inodes uint64) (g geometry) {
	g = geometry{blocks: blocks, descSize: o.Features.descSize()}
	if o.Features.has(flexBG) {
		g.logFlex = defaultLogFlex
	}
	g.setGroups(inodes)
	if o.Features.has(resizeInode) {
		g.reserved = uint32(o.area(uint64(g.gdt))) - g.gdt
	}
	return g
}

// shorten is geometry, but leaves out a last group that would have no room for data.
func (o *Options) shorten(blocks, inodes uint64) (geometry, error) {
	for {
		g := o.geometry(blocks, inodes)
		switch {
		case g.lastGroupShort() > 0 && g.groups > 1:
		case g.lastGroupShort() > 0:
			return g, errNoRoom
		case g.inodes() < uint64(o.Inodes):
			return g, o.tooFewInodes(g.inodes(), uint64(o.Inodes))
		default:
			return g, nil
		}
		blocks -= g.groupBlocks(g.groups - 1)
	}
}

// journalLength is how many blocks the journal of a file system of so many blocks has.
func (o *Options) journalLength(blocks uint64) uint64 {
	if o.Journal != nil {
		return uint64(*o.Journal) / disk.BlockSize
	}
	return journalBlocks(blocks)
}

// inFront plans like mke2fs: the metadata of each flex run is at the start of the run, and
// the journal in the middle. The cursor that it returns gives out the other blocks.
func (o *Options) inFront(blocks, inodes uint64) (*layout, alloc.Cursor, error) {
	g, err := o.shorten(blocks, inodes)
	if err != nil {
		return nil, alloc.Cursor{}, err
	}
	l := &layout{geo: g}
	l.places, l.areas, l.end = g.place(0)
	c := alloc.Cursor{Taken: merge(g.superAreas(), l.areas)}
	if n := o.journalLength(blocks); n > 0 {
		j := c.At(uint64(l.middle(&c)) * disk.BlocksPerGroup)
		j.Pieces(n, func(a alloc.Area) { l.journal = append(l.journal, a) })
		l.end = max(l.end, j.Next)
		c = alloc.Cursor{Taken: merge(c.Taken, l.journal)}
	}
	if l.end > g.blocks {
		return nil, c, errNoRoom
	}
	return l, c, nil
}

// atEnd plans the journal and the metadata after the files, which end where c is. The
// metadata of flex runs that begin later is at the start of these runs.
func (o *Options) atEnd(c alloc.Cursor, g geometry) *layout {
	l := &layout{geo: g}
	c.Pieces(o.journalLength(g.blocks), func(a alloc.Area) { l.journal = append(l.journal, a) })
	l.claim(&c)
	l.places, l.areas, l.end = g.place(c.Next)
	return l
}

// claim takes blocks for the resize inode and for the journal's extent tree from c.
func (l *layout) claim(c *alloc.Cursor) {
	if l.geo.reserved > 0 {
		l.resize = c.Piece(1).Start
	}
	for range disk.ExtentTreeBlocks(l.journalRuns()) {
		l.nodes = append(l.nodes, c.Piece(1).Start)
	}
}

// journalRuns returns the blocks of the journal.
func (l *layout) journalRuns() (list []disk.Run) {
	logical := uint32(0)
	for _, a := range l.journal {
		list = append(list, disk.Run{Logical: logical, Blocks: uint32(a.N), Physical: a.Start})
		logical += uint32(a.N)
	}
	return list
}

// journalLen is the length of the journal in blocks.
func (l *layout) journalLen() (n uint64) {
	for _, a := range l.journal {
		n += a.N
	}
	return n
}

// used is how many blocks the metadata takes.
func (l *layout) used() uint64 {
	n := l.geo.fixed() + l.journalLen() + uint64(disk.ExtentTreeBlocks(l.journalRuns()))
	if l.geo.reserved > 0 {
		n++
	}
	return n
}

// middle returns the group in which mke2fs begins the journal: of the two or three groups
// next to the middle, the first of those with the most room.
func (l *layout) middle(c *alloc.Cursor) uint32 {
	flex := uint32(1) << l.geo.logFlex
	group := uint32(l.geo.blocks / 2 / disk.BlocksPerGroup)
	first := max(group, 1) - 1
	if flex > 1 && group > flex {
		group &^= flex - 1
		for group < l.geo.groups && l.free(c, group) == 0 {
			group++
		}
		if group == l.geo.groups {
			group = 0
		}
		first = group
	}
	best := first
	for i := first + 1; i <= min(group+1, l.geo.groups-1); i++ {
		if l.free(c, i) > l.free(c, best) {
			best = i
		}
	}
	return best
}

// free is how many blocks of a group are not taken in c.
func (l *layout) free(c *alloc.Cursor, group uint32) (n uint64) {
	end := uint64(group)*disk.BlocksPerGroup + l.geo.groupBlocks(group)
	for at := c.At(uint64(group) * disk.BlocksPerGroup); at.NextFree() < end; {
		n += at.Piece(end - at.Next).N
	}
	return n
}

func merge(a, b []alloc.Area) []alloc.Area {
	list := slices.Concat(a, b)
	slices.SortFunc(list, func(a, b alloc.Area) int { return cmp.Compare(a.Start, b.Start) })
	return list
}
