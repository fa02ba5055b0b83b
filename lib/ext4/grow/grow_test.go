package grow

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/journal"
	"ocipipe/lib/ext4/volume"
)

// growable is an upper disk in memory.
func growable(t testing.TB, opts ext4.Options) *loggedDisk {
	t.Helper()
	return loadDisk(t, upper(t, opts))
}

// What is not known, not clean or not possible is refused, with what would help,
// before anything is written.
func TestGrowRefuses(t *testing.T) {
	const size = 128 << 20
	super := func(change func(s *disk.Superblock)) func(d *loggedDisk) {
		return func(d *loggedDisk) {
			var s disk.Superblock
			b := make([]byte, disk.SuperSize)
			d.ReadAt(b, disk.SuperOffset)
			s.Decode(b)
			change(&s)
			s.Seal(b)
			d.put(b, disk.SuperOffset)
		}
	}
	for _, c := range []struct {
		name   string
		change func(d *loggedDisk)
		opts   Options
		err    error // nil: one about the size
		text   string
		detail string // "dirty": a DirtyError; "movable": resize2fs could go on
	}{
		{"shrinking", nil, Options{Size: 32 << 20}, nil, "cannot shrink", ""},
		{"equal", nil, Options{Size: 64 << 20}, nil, "67108864 bytes already; the next larger size is 67112960", ""},
		{"less than a block", nil, Options{Size: 64<<20 + 4095}, nil, "already", ""},
		{"negative", nil, Options{Size: -1}, nil, "cannot shrink", ""},
		{"too large", nil, Options{Size: 16 << 40}, nil, "less than 16 TiB", ""},
		{"largest number", nil, Options{Size: math.MaxInt64}, nil, "less than 16 TiB", ""},
		{"no reserve", nil, Options{Size: 2 << 40}, nil, "1099511627776 bytes at most", "movable"},
		{"small device", nil, Options{Size: size, Device: true}, nil, "only 67108864", ""},
		{"file cut short", func(d *loggedDisk) { d.do(diskOp{size: 63 << 20}) }, Options{Size: size}, disk.ErrCorrupt, "cut short", ""},
		{"empty", func(d *loggedDisk) { d.do(diskOp{size: 0}) }, Options{Size: size}, disk.ErrCorrupt, "the input is empty", ""},
		{"no magic", func(d *loggedDisk) { d.put(make([]byte, 4096), 0) }, Options{Size: size}, disk.ErrCorrupt, "no ext4 superblock", ""},
		{"damaged superblock", func(d *loggedDisk) { d.put([]byte{1}, disk.SuperOffset+0x300) }, Options{Size: size}, disk.ErrCorrupt, "checksum", ""},
		{"errors", super(func(s *disk.Superblock) { s.State |= disk.StateErrors }), Options{Size: size}, disk.ErrUnsupported, "marked as damaged", "dirty"},
		{"error count", super(func(s *disk.Superblock) { s.ErrorCount = 1 }), Options{Size: size}, disk.ErrUnsupported, "marked as damaged", "dirty"},
		{"not unmounted", super(func(s *disk.Superblock) { s.State = 0 }), Options{Size: size}, disk.ErrUnsupported, "not unmounted", "dirty"},
		{"meta_bg", super(func(s *disk.Superblock) { s.Incompat |= disk.IncompatMetaBG }), Options{Size: size}, disk.ErrUnsupported, "meta_bg", ""},
		{"mmp", super(func(s *disk.Superblock) { s.Incompat |= disk.IncompatMMP }), Options{Size: size}, disk.ErrUnsupported, "mmp", ""},
		{"unknown incompat", super(func(s *disk.Superblock) { s.Incompat |= 1 << 30 }), Options{Size: size}, disk.ErrUnsupported, "0x40000000", ""},
		{"unknown compat", super(func(s *disk.Superblock) { s.Compat |= 1 << 30 }), Options{Size: size}, disk.ErrUnsupported, "0x40000000", ""},
		{"unknown ro", super(func(s *disk.Superblock) { s.RoCompat |= 1 << 30 }), Options{Size: size}, disk.ErrUnsupported, "0x40000000", ""},
		{"bigalloc", super(func(s *disk.Superblock) { s.RoCompat |= disk.RoCompatBigalloc }), Options{Size: size}, disk.ErrUnsupported, "bigalloc", ""},
		{"fast commits", super(func(s *disk.Superblock) { s.Compat |= disk.CompatFastCommit }), Options{Size: size}, disk.ErrUnsupported, "fast_commit", ""},
		{"blocks of 1024", super(func(s *disk.Superblock) { s.LogBlockSize = 0 }), Options{Size: size}, disk.ErrUnsupported, "blocks of 1024", ""},
		{"external journal", super(func(s *disk.Superblock) { s.JournalIno, s.JournalDev = 0, 0x801 }), Options{Size: size}, disk.ErrUnsupported, "another device", ""},
		{"reserve and no inode", super(func(s *disk.Superblock) { s.Compat &^= disk.CompatResizeInode }), Options{Size: size}, disk.ErrUnsupported, "without a resize inode", ""},
		{"reserve", super(func(s *disk.Superblock) { s.ReservedGDT-- }), Options{Size: size}, disk.ErrUnsupported, "resize inode", "dirty"},
		{"recover without journal", super(func(s *disk.Superblock) { s.Compat &^= disk.CompatJournal; s.Incompat |= disk.IncompatRecover }), Options{Size: size}, disk.ErrCorrupt, "no journal", ""},
		{"descriptor", func(d *loggedDisk) { d.put([]byte{7}, 4096+0x0C) }, Options{Size: size}, disk.ErrCorrupt, "descriptor of group 0", ""},
		{"list of copies", func(d *loggedDisk) { d.put([]byte{7}, 2*4096) }, Options{Size: size}, disk.ErrUnsupported, "resize inode", "dirty"},
		{"log", func(d *loggedDisk) {
			g, err := openGrowth(d)
			if err != nil {
				t.Fatal(err)
			}
			setLog(d, g.journal, 1, 7)
			d.ops = nil
		}, Options{Size: size}, disk.ErrUnsupported, "does not know of", "dirty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := growable(t, ext4.Options{Size: 64 << 20})
			if c.change != nil {
				c.change(d)
			}
			before := d.clone()
			err := Grow(context.Background(), d, c.opts)
			var size *SizeError
			var dirty *volume.DirtyError
			switch {
			case err == nil || !strings.Contains(err.Error(), c.text):
				t.Errorf("%v, want %q", err, c.text)
			case c.err != nil && !errors.Is(err, c.err), c.err == nil && !errors.As(err, &size):
				t.Errorf("%v: kind of error", err)
			case (c.detail == "dirty") != errors.As(err, &dirty), (c.detail == "movable") != (size != nil && size.Movable):
				t.Errorf("%v: %+v, %+v", err, size, dirty)
			}
			if len(d.ops) > 0 || !d.equal(before) {
				t.Error("the disk was written to")
			}
		})
	}
}

// A bitmap of the last group that is not what its descriptor says is refused.
func TestGrowLastGroup(t *testing.T) {
	for _, bit := range []int64{0, 2000, 4090} {
		d := growable(t, ext4.Options{Size: 100 << 20})
		g, err := openGrowth(d)
		if err != nil {
			t.Fatal(err)
		}
		desc := g.decodeGroup(0)
		d.put([]byte{0xA5}, int64(desc.BlockBitmap)*disk.BlockSize+bit)
		if err := Grow(context.Background(), d, Options{Size: 120 << 20}); !errors.Is(err, disk.ErrCorrupt) || len(d.ops) > 0 {
			t.Errorf("byte %d: %v", bit, err)
		}
	}
}

// The same growth gives the same bytes, in one step and after a crash.
func TestGrowSame(t *testing.T) {
	start := growable(t, ext4.Options{Size: 200 << 20})
	one, two := start.clone(), start.clone()
	for _, d := range []*loggedDisk{one, two} {
		if err := Grow(context.Background(), d, Options{Size: 20 << 30}); err != nil {
			t.Fatal(err)
		}
	}
	if !one.equal(two) {
		t.Error("two growths differ")
	}
	crashed := start.clone()
	for _, op := range one.ops {
		if crashed.do(op); op.sync && startOf(t, crashed) != 0 {
			break
		}
	}
	if err := Grow(context.Background(), crashed, Options{Size: 20 << 30}); err != nil {
		t.Fatal(err)
	}
	if !clearLog(t, crashed).equal(clearLog(t, one)) {
		t.Error("after a crash it differs")
	}
}

func startOf(t testing.TB, d *loggedDisk) uint32 {
	t.Helper()
	vol, err := openVolume(d, d.size)
	if err != nil {
		t.Fatal(err)
	}
	j, err := vol.OpenJournal()
	if err != nil {
		t.Fatal(err)
	}
	return j.Super.Start
}

// clearLog empties the journal but for its superblock, in which the number of the
// next transaction is made 1.
func clearLog(t testing.TB, d *loggedDisk) *loggedDisk {
	t.Helper()
	d = d.clone()
	g, err := openGrowth(d)
	if err != nil {
		t.Fatal(err)
	}
	for n := g.journal.Super.First; n < g.journal.Super.Length; n++ {
		delete(d.blocks, int64(g.journal.Physical(n)))
	}
	if err := setLog(d, g.journal, 0, 1); err != nil {
		t.Fatal(err)
	}
	return d
}

// A device keeps its size. What it held is not taken for zero: a kernel is told
// that inode tables are to be cleared, or they are, where there are no checksums to
// tell.
func TestGrowDevice(t *testing.T) {
	for _, list := range []string{"", "^metadata_csum"} {
		features, err := ext4.ParseFeatures(list)
		if err != nil {
			t.Fatal(err)
		}
		d := growable(t, ext4.Options{Size: 64 << 20, Features: features})
		size := int64(300 << 20)
		d.do(diskOp{size: size})
		for at := int64(64 << 20); at < size; at += disk.BlockSize {
			d.put(bytes.Repeat([]byte{0xEE}, disk.BlockSize), at)
		}
		if err := Grow(context.Background(), d, Options{Size: 200 << 20, Device: true}); err != nil {
			t.Fatal(err)
		}
		g, err := openGrowth(d)
		if err != nil {
			t.Fatal(err)
		}
		if d.size != size {
			t.Errorf("the device has %d bytes", d.size)
		}
		desc := g.decodeGroup(1)
		table := d.blocks[int64(desc.InodeTable)]
		zero := bytes.Equal(table, make([]byte, disk.BlockSize))
		if list == "" && (desc.Flags != disk.InodeUninit || zero) || list != "" && (desc.Flags != 0 || !zero) {
			t.Errorf("%q: flags %d, table is zero: %v", list, desc.Flags, zero)
		}
	}
}

// A file may already be long and hold something behind the file system.
func TestGrowLongFile(t *testing.T) {
	name := upper(t, ext4.Options{Size: 64 << 20})
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xEE}, 100<<20), 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	if err := Grow(context.Background(), f, Options{Size: 500 << 20}); err != nil {
		t.Fatal(err)
	}
	d := loadDisk(t, name)
	if d.size != 1<<30 {
		t.Errorf("the file has %d bytes", d.size)
	}
	g, err := openGrowth(d)
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n < g.old.Groups(); n++ {
		desc := g.decodeGroup(n)
		for i := range g.old.TableBlocks() {
			if b := d.blocks[int64(desc.InodeTable+i)]; len(bytes.Trim(b, "\x00")) > 0 {
				t.Fatalf("block %d of the inode table of group %d is not zero", i, n)
			}
		}
	}
}

// FuzzGrow damages disks. Nothing panics, and a disk that is refused is as it was.
func FuzzGrow(f *testing.F) {
	none, err := ext4.ParseFeatures("^metadata_csum")
	if err != nil {
		f.Fatal(err)
	}
	short := int64(journal.MinBlocks * disk.BlockSize)
	var disks []*loggedDisk
	for _, features := range []ext4.Features{0, none} {
		disks = append(disks, growable(f, ext4.Options{Size: 200 << 20, MaxSize: 40 << 30, Features: features, Journal: &short}))
	}
	for _, kind := range []logKind{logKinds[0], logKinds[3], logKinds[7]} {
		x := newDirty(f, kind, 700)
		x.history()
		disks = append(disks, x.loggedDisk)
	}
	// Places that everything depends on: where the disks differ from zero, but data.
	for i := range disks {
		f.Add(uint8(i), []byte{}, true)
		f.Add(uint8(i), []byte{0, 0, 4, 0x18, 1}, true)
		f.Add(uint8(i), []byte{0, 0, 4, 0x28, 1, 0, 1, 0, 0, 9}, false)
		if err := Grow(context.Background(), disks[i].clone(), Options{Size: 9 << 30}); err != nil {
			f.Fatalf("seed %d: %v", i, err)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, changes []byte, reseal bool) {
		d := disks[int(which)%len(disks)].clone()
		// A change is the number of a block that is not zero, where in it, and what.
		numbers := sortedBlocks(d)
		for ; len(changes) >= 5; changes = changes[5:] {
			n := int(binary.BigEndian.Uint16(changes)) % len(numbers)
			at := int64(binary.BigEndian.Uint16(changes[2:])) % disk.BlockSize
			d.put(changes[4:5], numbers[n]*disk.BlockSize+at)
		}
		if reseal {
			resealDisk(d)
		}
		before := d.clone()
		size := int64(300 << 20)
		if which >= 0x80 {
			size = 9 << 30 // with more blocks of descriptors
		}
		err := Grow(context.Background(), d, Options{Size: size})
		if err != nil && (len(d.ops) > 0 || !d.equal(before)) {
			t.Errorf("the disk was written to, and then: %v", err)
		}
		if err == nil {
			Grow(context.Background(), d, Options{Size: size + disk.BlockSize})
		}
	})
}

// No byte of the records that growing starts from makes it panic, or write and then
// refuse.
func TestGrowSweep(t *testing.T) {
	start := growable(t, ext4.Options{Size: 64 << 20})
	g, err := openGrowth(start)
	if err != nil {
		t.Fatal(err)
	}
	desc := g.decodeGroup(0)
	table := int64(desc.InodeTable) * disk.BlockSize
	refused, step := 0, int64(13)
	if soak() {
		step = 1
	}
	for _, span := range [][2]int64{
		{disk.SuperOffset, disk.SuperSize}, {disk.BlockSize, 64}, {table + 6*256, 2 * 256}, {g.journal.Offset(), 0x100}, {2 * disk.BlockSize, 64},
	} {
		for at := span[0]; at < span[0]+span[1]; at += step {
			for _, value := range []byte{0, 1, 0x7F, 0xFF} {
				d := start.clone()
				d.put([]byte{value}, at)
				resealDisk(d)
				before := d.clone()
				err := Grow(context.Background(), d, Options{Size: 70 << 20})
				if err == nil {
					continue
				}
				if refused++; len(d.ops) > 0 || !d.equal(before) {
					t.Errorf("byte %d is %#x: the disk was written to, and then: %v", at, value, err)
				}
			}
		}
	}
	if refused < 50 {
		t.Errorf("only %d disks were refused", refused)
	}
}

func sortedBlocks(d *loggedDisk) (list []int64) {
	for n := range d.size / disk.BlockSize {
		if d.blocks[n] != nil {
			list = append(list, n)
		}
	}
	return list
}

// resealDisk makes the checksums right that guard what is checked otherwise.
func resealDisk(d *loggedDisk) {
	var s disk.Superblock
	b := make([]byte, disk.SuperSize)
	d.ReadAt(b, disk.SuperOffset)
	s.Decode(b)
	s.Seal(b)
	d.put(b, disk.SuperOffset)
	if s.CheckGeometry(d.size) != nil || s.RoCompat&disk.RoCompatMetadataCsum == 0 {
		return
	}
	room := make([]byte, 1024)
	for n := range min(s.Groups(), 100) {
		raw := room[:s.GroupDescSize()]
		d.ReadAt(raw, s.DescOffset(n))
		s.Seed().SealGroup(uint32(n), raw)
		d.put(raw, s.DescOffset(n))
	}
	vol, err := volume.Open(d, d.size, func(*disk.Superblock) error { return nil })
	if err != nil {
		return
	}
	for _, number := range []uint32{disk.ResizeIno, disk.JournalIno} {
		var ino volume.Inode
		vol.LoadInode(&ino, number)
		if ino.Off > 0 && ino.Off < d.size-int64(s.InodeSize) {
			raw := make([]byte, s.InodeSize)
			d.ReadAt(raw, ino.Off)
			vol.Seed.Inode(number, ino.Generation).Seal(raw)
			d.put(raw, ino.Off)
		}
	}
	if vol, err = volume.Open(d, d.size, func(*disk.Superblock) error { return nil }); err != nil {
		return
	}
	var ino volume.Inode
	var first disk.ExtentLeaf
	vol.LoadInode(&ino, disk.JournalIno)
	first.Decode(ino.Block[disk.ExtentHeadSize:])
	if first.Physical < vol.Super.Blocks() {
		raw := make([]byte, journal.SuperSize)
		var js journal.Super
		d.ReadAt(raw, int64(first.Physical)*disk.BlockSize)
		js.Decode(raw)
		js.Encode(raw)
		d.put(raw, int64(first.Physical)*disk.BlockSize)
	}
}

// A Grow that is stopped in time leaves the disk as it was.
func TestGrowStop(t *testing.T) {
	d := growable(t, ext4.Options{Size: 64 << 20})
	before := d.clone()
	ctx, stop := context.WithCancelCause(context.Background())
	cause := errors.New("stopped")
	stop(cause)
	err := Grow(ctx, d, Options{Size: 128 << 20})
	if !errors.Is(err, cause) || fmt.Sprint(err) != "stopped; the file system is as it was" || !d.equal(before) {
		t.Error(err)
	}
}
