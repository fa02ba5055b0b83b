package grow

import (
	"os"

	"ocipipe/lib/blockio"
	"ocipipe/lib/ext4/alloc"
	"ocipipe/lib/ext4/disk"
)

// groupRun is a run of new groups whose metadata lies together in the first of them: all
// block bitmaps, then all inode bitmaps, then all inode tables. Without flex_bg each
// group is a run of its own.
type groupRun struct {
	first, end uint64       // the groups, from first up to but not including end
	bitmaps    uint64       // first block of the bitmaps
	tables     []uint64     // first block of each inode table
	used       []alloc.Area // the blocks of all of this
}

// maxRun is how many groups a run has at most, also where flex_bg allows more. It is the
// number that mke2fs joins.
const maxRun = 16

// addGroups plans the new groups.
func (g *growth) addGroups() error {
	s := &g.new
	join := uint64(1)
	if s.Incompat&disk.IncompatFlexBG != 0 {
		join = min(uint64(1)<<min(s.LogGroupsPerFlex, 31), maxRun)
	}
	for first := g.old.Groups(); first < s.Groups(); {
		end := min(first/join*join+join, s.Groups())
		r, ok := g.layRun(first, end)
		if !ok { // the first group alone needs smaller areas
			end = first + 1
			r, ok = g.layRun(first, end)
		}
		if !ok {
			return disk.Corrupt(disk.SuperOffset, "group %d has no room for %d blocks of inodes", first, s.TableBlocks())
		}
		g.runs = append(g.runs, r)
		first = end
	}
	g.desc = append(g.desc, make([]byte, s.DescBlocks()*disk.BlockSize-uint64(len(g.desc)))...)
	for _, r := range g.runs {
		for n := r.first; n < r.end; n++ {
			g.describe(r, n)
		}
	}
	return nil
}

// layRun places the metadata of the groups from first up to end; ok is false if it does not
// fit into their blocks, which superblocks may cut up.
func (g *growth) layRun(first, end uint64) (r groupRun, ok bool) {
	r = groupRun{first: first, end: end}
	var supers []alloc.Area
	for n := first; n < end; n++ {
		if g.old.HasBackup(n) {
			supers = append(supers, alloc.Area{Start: n * g.new.GroupSize(), N: g.old.HeadBlocks(n)})
		}
	}
	c := alloc.Cursor{Taken: supers, Next: first * g.new.GroupSize()}
	take := func(n uint64) uint64 {
		start := c.Whole(n)
		r.used = append(r.used, alloc.Area{Start: start, N: n})
		return start
	}
	r.bitmaps = take(2 * (end - first))
	for range end - first {
		r.tables = append(r.tables, take(g.new.TableBlocks()))
	}
	return r, c.Next <= min(end*g.new.GroupSize(), g.new.Blocks())
}

// bitmap returns the block bitmap of the new group n, a group of r, and how many of the
// blocks hold metadata.
func (g *growth) bitmap(r groupRun, n uint64) (b []byte, used uint64) {
	b = make([]byte, disk.BlockSize)
	base, blocks := n*g.new.GroupSize(), g.new.GroupBlocks(n)
	used = g.old.HeadBlocks(n)
	disk.SetBits(b, 0, used)
	for _, u := range r.used {
		if start, end := max(u.Start, base), min(u.End(), base+blocks); start < end {
			disk.SetBits(b, start-base, end-base)
			used += end - start
		}
	}
	disk.SetBits(b, blocks, disk.BlocksPerGroup) // a last group has no such blocks
	return b, used
}

// bitmapSum is the checksum of the block bitmap b, as wide as descriptors store it.
func (g *growth) bitmapSum(b []byte) uint32 {
	sum := g.vol.Seed.Bitmap(b[:g.new.GroupSize()/8])
	if g.new.GroupDescSize() < disk.GroupDescSize {
		sum &= 0xFFFF
	}
	return sum
}

// describe plans the descriptor of the new group n, a group of r, which has no inodes in
// use. It adds the group's blocks and inodes to the counts of the superblock.
func (g *growth) describe(r groupRun, n uint64) {
	s := &g.new
	i := n - r.first
	b, used := g.bitmap(r, n)
	d := disk.GroupDesc{
		BlockBitmap: r.bitmaps + i, InodeBitmap: r.bitmaps + (r.end - r.first) + i, InodeTable: r.tables[i],
		FreeBlocks: uint32(s.GroupBlocks(n) - used), FreeInodes: s.InodesPerGroup,
	}
	if g.vol.Super.HasSums() {
		d.Unused, d.Flags = s.InodesPerGroup, disk.InodeUninit
		if !g.opts.Device {
			d.Flags |= disk.TableZeroed // else a kernel zeroes the table in the background
		}
		if used == 0 && n != s.Groups()-1 {
			d.Flags |= disk.BlockUninit
		} else {
			d.BlockBitmapSum = g.bitmapSum(b)
		}
	}
	g.encodeGroup(&d, n)
	s.SetFreeBlocks(s.FreeBlocks() + uint64(d.FreeBlocks))
	s.FreeInodes += d.FreeInodes
	if s.Overhead != 0 { // 0: the kernel computes it at mount time
		s.Overhead += uint32(g.old.HeadBlocks(n) + 2 + s.TableBlocks())
	}
}

// encodeGroup stores the descriptor of group n in the plan.
func (g *growth) encodeGroup(d *disk.GroupDesc, n uint64) {
	size := uint64(g.new.GroupDescSize())
	b := g.desc[n*size : (n+1)*size]
	d.Encode(b)
	if g.vol.Super.HasSums() {
		g.vol.Seed.SealGroup(uint32(n), b)
	}
}

// decodeGroup returns the descriptor of group n from the plan.
func (g *growth) decodeGroup(n uint64) (d disk.GroupDesc) {
	size := uint64(g.new.GroupDescSize())
	d.Decode(g.desc[n*size : (n+1)*size])
	return d
}

// extendLastGroup plans to give the last old group the blocks that it lacks.
func (g *growth) extendLastGroup() error {
	n := g.old.Groups() - 1
	have, want := g.old.GroupBlocks(n), g.new.GroupBlocks(n)
	if have == want {
		return nil
	}
	d := g.decodeGroup(n)
	b, err := g.block(d.BlockBitmap)
	if err != nil {
		return err
	}
	at := int64(d.BlockBitmap) * disk.BlockSize
	sum := g.bitmapSum(b)
	switch {
	case d.Flags&disk.BlockUninit != 0:
		return disk.Corrupt(at, "the last group has no bitmap")
	case g.vol.Super.HasSums() && sum != d.BlockBitmapSum:
		return disk.Corrupt(at, "bitmap of the last group has checksum %#08x, says %#08x", sum, d.BlockBitmapSum)
	case uint64(disk.CountBits(b, 0, have)) != have-uint64(d.FreeBlocks):
		return disk.Corrupt(at, "the last group has %d blocks in use, says %d", disk.CountBits(b, 0, have), have-uint64(d.FreeBlocks))
	}
	disk.ClearBits(b, have, want)
	d.FreeBlocks += uint32(want - have)
	if g.vol.Super.HasSums() {
		d.BlockBitmapSum = g.bitmapSum(b)
	}
	g.encodeGroup(&d, n)
	g.new.SetFreeBlocks(g.new.FreeBlocks() + want - have)
	g.first = int(n * uint64(g.old.GroupDescSize()) / disk.BlockSize)
	return nil
}

// writeRun writes the metadata of the new groups of r: bitmaps, backups, and zeros for the
// inode tables where they are needed.
func (g *growth) writeRun(r groupRun) error {
	for n := r.first; n < r.end; n++ {
		d := g.decodeGroup(n)
		if d.Flags&disk.BlockUninit == 0 {
			b, _ := g.bitmap(r, n)
			if err := g.write(b, d.BlockBitmap); err != nil {
				return err
			}
		}
		if d.Flags&disk.InodeUninit == 0 {
			b := make([]byte, disk.BlockSize)
			disk.SetBits(b, uint64(g.new.InodesPerGroup), disk.BlocksPerGroup)
			if err := g.write(b, d.InodeBitmap); err != nil {
				return err
			}
		}
		if d.Flags&disk.InodeUninit == 0 || d.Flags&disk.TableZeroed != 0 {
			if err := g.zero(int64(d.InodeTable)*disk.BlockSize, int64(d.InodeTable+g.new.TableBlocks())*disk.BlockSize); err != nil {
				return err
			}
		}
		if err := g.writeBackup(n, 0); err != nil {
			return err
		}
	}
	return nil
}

func (g *growth) write(b []byte, block uint64) error {
	_, err := g.f.WriteAt(b, int64(block)*disk.BlockSize)
	return err
}

// writeBackup writes the copies in group n, if it has any: of the superblock, and of the
// blocks of descriptors from index from on. Like mke2fs, it does not mark a copy as clean.
func (g *growth) writeBackup(n uint64, from int) error {
	if !g.new.HasBackup(n) {
		return nil
	}
	super := g.new
	super.BlockGroup, super.State = uint16(n), 0
	b := make([]byte, disk.BlockSize)
	super.Seal(b)
	if err := g.write(b, n*g.new.GroupSize()); err != nil {
		return err
	}
	return g.write(g.desc[from*disk.BlockSize:], n*g.new.GroupSize()+1+uint64(from))
}

// zeroChunk is what zero writes, as often as needed.
var zeroChunk [256 << 10]byte

// zero makes the bytes from start up to end zero. It leaves out those after the old end of
// the disk, which are zero, and holes of a file.
func (g *growth) zero(start, end int64) error {
	for end = min(end, g.size); start < end; {
		data, stop := start, end
		if f, ok := g.f.(*os.File); ok && !g.opts.Device {
			var err error
			if data, stop, err = blockio.NextData(f, start, end); err != nil {
				return err
			}
		}
		for data < stop {
			n, err := g.f.WriteAt(zeroChunk[:min(stop-data, int64(len(zeroChunk)))], data)
			if err != nil {
				return err
			}
			data += int64(n)
		}
		start = stop
	}
	return nil
}
