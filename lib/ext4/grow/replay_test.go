package grow

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/journal"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/reftest"
)

// The empty journal is that of mke2fs.
func TestInteropJournalSuperblock(t *testing.T) {
	image := ext4test.Mke2fs(t, 200<<20, "-b", "4096")
	d := loadDisk(t, image)
	g, err := openGrowth(d)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, disk.BlockSize)
	if _, err := d.ReadAt(b, g.journal.Offset()); err != nil {
		t.Fatal(err)
	}
	if want := journal.Empty(4096, g.old.UUID); !bytes.Equal(b, want) {
		t.Errorf("%x\nwant\n%x", b[:0x60], want[:0x60])
	}
}

// A kind of journal.
type logKind struct {
	name             string
	compat, incompat uint32
}

var logKinds = []logKind{
	{"none", 0, 0},
	{"none, 64 bits", 0, journal.Incompat64Bit},
	{"version 1", journal.CompatSum, 0},
	{"version 1, 64 bits", journal.CompatSum, journal.Incompat64Bit},
	{"version 2", 0, journal.IncompatSumV2},
	{"version 2, 64 bits", 0, journal.IncompatSumV2 | journal.Incompat64Bit | journal.IncompatRevokes},
	{"version 3", 0, journal.IncompatSumV3},
	{"version 3, 64 bits", 0, journal.IncompatSumV3 | journal.Incompat64Bit | journal.IncompatRevokes},
}

// dirtyDisk is a disk with a journal to be replayed.
type dirtyDisk struct {
	*loggedDisk
	vol *volume.Volume
	j   *journal.Log
	at  uint32 // where the log goes on
}

// newDirty makes a disk whose log begins at block start, and has nothing yet.
func newDirty(t testing.TB, kind logKind, start uint32) *dirtyDisk {
	t.Helper()
	d := loadDisk(t, upper(t, ext4.Options{Size: 64 << 20}))
	vol, err := openVolume(d, d.size)
	if err != nil {
		t.Fatal(err)
	}
	j, err := vol.OpenJournal()
	if err != nil {
		t.Fatal(err)
	}
	js := &j.Super
	js.Compat, js.Incompat, js.Start, js.Sequence = kind.compat, kind.incompat, start, 100
	if js.HasSums() {
		js.SumType = journal.SumCRC32C
	}
	j.Form = js.Form()
	x := &dirtyDisk{loggedDisk: d, vol: vol, j: j, at: start}
	x.seal(t)
	super := vol.Super
	super.Incompat |= disk.IncompatRecover
	if err := writeSuper(d, &super); err != nil {
		t.Fatal(err)
	}
	d.ops = nil
	return x
}

// seal writes the journal's superblock.
func (x *dirtyDisk) seal(t testing.TB) {
	t.Helper()
	if err := setLog(x.loggedDisk, x.j, x.j.Super.Start, x.j.Super.Sequence); err != nil {
		t.Fatal(err)
	}
	x.ops = nil
}

// add appends blocks to the log, and returns where they are.
func (x *dirtyDisk) add(log [][]byte) (at []int64) {
	for _, b := range log {
		at = append(at, int64(x.j.Physical(x.at))*disk.BlockSize)
		x.put(b, at[len(at)-1])
		x.at = x.j.Next(x.at)
	}
	return at
}

// revokes encodes a block of them.
func revokes(f *journal.Form, sequence uint32, blocks ...uint64) []byte {
	b := make([]byte, disk.BlockSize)
	journal.Head{Kind: journal.KindRevoke, Sequence: sequence}.Encode(b)
	at := journal.RevokeHeadSize
	for _, block := range blocks {
		if f.Wide {
			binary.BigEndian.PutUint64(b[at:], block)
			at += 8
		} else {
			binary.BigEndian.PutUint32(b[at:], uint32(block))
			at += 4
		}
	}
	binary.BigEndian.PutUint32(b[journal.HeadSize:], uint32(at))
	if f.Sums > 1 {
		binary.BigEndian.PutUint32(b[disk.BlockSize-journal.TailSize:], f.TailSum(b))
	}
	return b
}

// filled is a block whose content tells which it is.
func filled(text string) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("%-64s", text)), disk.BlockSize/64)
}

// escapable is one that has to be escaped.
func escapable(text string) []byte {
	b := filled(text)
	binary.BigEndian.PutUint32(b, journal.Magic)
	return b
}

// Blocks of the disk that nothing else uses.
const spare = 9000

// history writes four transactions: blocks that change, that are revoked and come
// again, and more than one descriptor has room for; then one without an end. It
// returns what the replay should leave, and where the last commit is.
func (x *dirtyDisk) history() (want map[uint64][]byte, lastCommit int64) {
	f := &x.j.Form
	x.add(f.Transaction(100, []journal.Block{
		{Number: spare, Data: filled("old")}, {Number: spare + 1, Data: filled("kept")}, {Number: spare + 2, Data: escapable("escaped")}, {Number: spare + 3, Data: filled("revoked")},
		{Number: spare + 4, Data: filled("revoked and written")}, {Number: spare + 5, Data: filled("revoked with it")},
	}))
	second := f.Transaction(101, []journal.Block{{Number: spare + 5, Data: filled("revoked")}})
	commit := second[len(second)-1]
	x.add(append(second[:len(second)-1:len(second)-1], revokes(f, 101, spare+3, spare+4, spare+5), commit))
	var many []journal.Block
	want = make(map[uint64][]byte)
	for i := range uint64(600) {
		many = append(many, journal.Block{Number: spare + 10 + i, Data: filled(fmt.Sprint("many ", i))})
		want[spare+10+i] = many[i].Data
	}
	x.add(f.Transaction(102, many))
	at := x.add(f.Transaction(103, []journal.Block{{Number: spare, Data: escapable("new")}, {Number: spare + 4, Data: filled("again")}}))
	unended := f.Transaction(104, []journal.Block{{Number: spare + 1, Data: filled("never")}})
	x.add(unended[:len(unended)-1])
	want[spare], want[spare+1], want[spare+2], want[spare+4] = escapable("new"), filled("kept"), escapable("escaped"), filled("again")
	want[spare+3], want[spare+5] = make([]byte, disk.BlockSize), make([]byte, disk.BlockSize)
	return want, at[len(at)-1]
}

func (x *dirtyDisk) replay() error {
	g, err := openGrowth(x.loggedDisk)
	if err != nil {
		return err
	}
	return applyRecovery(x.loggedDisk, g.recovery, &g.old)
}

func (x *dirtyDisk) compare(t testing.TB, want map[uint64][]byte) {
	t.Helper()
	b := make([]byte, disk.BlockSize)
	for n, data := range want {
		if _, err := x.ReadAt(b, int64(n)*disk.BlockSize); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, data) {
			t.Errorf("block spare+%d is %.30q, want %.30q", n-spare, b, data)
		}
	}
}

// Logs of all kinds are replayed, also those that go on at the beginning.
func TestReplay(t *testing.T) {
	for _, kind := range logKinds {
		for _, start := range []uint32{1, 400, 1023} {
			x := newDirty(t, kind, start)
			want, _ := x.history()
			if err := x.replay(); err != nil {
				t.Fatalf("%s: %v", kind.name, err)
			}
			x.compare(t, want)
			g, err := openGrowth(x.loggedDisk)
			if err != nil {
				t.Fatal(err)
			}
			if g.recovery != nil || g.journal.Super.Start != 0 || g.journal.Super.Sequence != 105 {
				t.Errorf("%s: the log is at %d, transaction %d", kind.name, g.journal.Super.Start, g.journal.Super.Sequence)
			}
		}
	}
}

// e2fsck reads the same from logs of all kinds.
func TestInteropReplayKinds(t *testing.T) {
	for _, kind := range logKinds {
		x := newDirty(t, kind, 700)
		x.history()
		ref := x.save(t)
		reftest.Run(t, "e2fsck", "-y", "-E", "journal_only", ref)
		if err := x.replay(); err != nil {
			t.Fatalf("%s: %v", kind.name, err)
		}
		compareImages(t, ref, x.save(t))
	}
}

// What was interrupted has not happened; what is damaged is refused, unless it is
// left from another journal.
func TestReplayDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		sums   []int
		damage func(x *dirtyDisk, commit int64)
		torn   bool // the last transaction is left out; else the journal is refused
	}{
		{"no commit", []int{0, 1, 2, 3}, func(x *dirtyDisk, commit int64) { x.put(make([]byte, disk.BlockSize), commit) }, true},
		{"commit of another number", []int{0, 1, 2, 3}, func(x *dirtyDisk, commit int64) { x.put([]byte{9}, commit+8) }, true},
		{"commit", []int{2, 3}, func(x *dirtyDisk, commit int64) { x.put([]byte{9}, commit+100) }, false},
		{"data", []int{1, 2, 3}, func(x *dirtyDisk, commit int64) { x.put([]byte{9}, commit-disk.BlockSize+100) }, false},
		{"descriptor", []int{1, 2, 3}, func(x *dirtyDisk, commit int64) { x.put([]byte{9}, commit-3*disk.BlockSize+200) }, false},
		{"old descriptor", []int{2, 3}, func(x *dirtyDisk, commit int64) {
			x.put([]byte{9}, commit-3*disk.BlockSize+200)
			x.setTimes(1000, 10)
		}, true},
		{"old commit", []int{1, 2, 3}, func(x *dirtyDisk, commit int64) {
			x.setTimes(1000, 10)
			x.put([]byte{9}, commit+journal.CommitSumOffset)
		}, true},
	} {
		for _, kind := range logKinds {
			x := newDirty(t, kind, 1)
			want, commit := x.history()
			if !slices.Contains(c.sums, x.j.Form.Sums) {
				continue
			}
			c.damage(x, commit)
			before := x.clone()
			err := x.replay()
			if c.torn {
				want[spare], want[spare+4] = filled("old"), make([]byte, disk.BlockSize)
				x.compare(t, want)
			} else if !errors.Is(err, disk.ErrCorrupt) || len(x.ops) > 0 || !before.equal(x.loggedDisk) {
				t.Errorf("%s, %s: %v", c.name, kind.name, err)
			}
			if c.torn && err != nil {
				t.Errorf("%s, %s: %v", c.name, kind.name, err)
			}
		}
	}
}

// setTimes sets the times of the commits: of all, and of the last one.
func (x *dirtyDisk) setTimes(all, last uint64) {
	b := make([]byte, disk.BlockSize)
	for n := x.j.Super.First; n < x.j.Super.Length; n++ {
		at := int64(x.j.Physical(n)) * disk.BlockSize
		x.ReadAt(b, at)
		head, ok := journal.DecodeHead(b)
		if !ok || head.Kind != journal.KindCommit {
			continue
		}
		binary.BigEndian.PutUint64(b[journal.CommitTimeOffset:], all)
		if head.Sequence == 103 {
			binary.BigEndian.PutUint64(b[journal.CommitTimeOffset:], last)
		}
		if x.j.Form.Sums > 1 {
			binary.BigEndian.PutUint32(b[journal.CommitSumOffset:], x.j.Form.CommitSum(b))
		}
		x.put(b, at)
	}
}

// What is not understood is refused by name, before anything is written.
func TestReplayRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(x *dirtyDisk)
		err    error
		text   string
	}{
		{"fast commits", func(x *dirtyDisk) { x.j.Super.Incompat |= journal.IncompatFastCommit }, disk.ErrUnsupported, "fast commits"},
		{"fast blocks", func(x *dirtyDisk) { x.j.Super.FastBlocks = 256 }, disk.ErrUnsupported, "fast commits"},
		{"async", func(x *dirtyDisk) { x.j.Super.Incompat |= journal.IncompatAsyncCommit }, disk.ErrUnsupported, "asynchronous"},
		{"feature", func(x *dirtyDisk) { x.j.Super.Incompat |= 0x40 }, disk.ErrUnsupported, "0x40"},
		{"version 1", func(x *dirtyDisk) { x.j.Super.Type = journal.KindSuperV1 }, disk.ErrUnsupported, "version 1"},
		{"magic", func(x *dirtyDisk) { x.j.Super.Magic++ }, disk.ErrCorrupt, "magic"},
		{"sums", func(x *dirtyDisk) { x.j.Super.Incompat |= journal.IncompatSumV2 }, disk.ErrCorrupt, "two kinds"},
		{"sum type", func(x *dirtyDisk) { x.j.Super.SumType = 1 }, disk.ErrUnsupported, "type 1"},
		{"block size", func(x *dirtyDisk) { x.j.Super.BlockSize = 1024 }, disk.ErrCorrupt, "1024"},
		{"length", func(x *dirtyDisk) { x.j.Super.Length++ }, disk.ErrCorrupt, "1025"},
		{"first", func(x *dirtyDisk) { x.j.Super.First = 0 }, disk.ErrCorrupt, "blocks 0"},
		{"start", func(x *dirtyDisk) { x.j.Super.Start = 1024 }, disk.ErrCorrupt, "starts at"},
		{"given up", func(x *dirtyDisk) { x.j.Super.Errno = 1<<32 - 5 }, disk.ErrUnsupported, "error -5"},
		{"outside", func(x *dirtyDisk) {
			x.add(x.j.Form.Transaction(100, []journal.Block{{Number: 1 << 40, Data: filled("far")}}))
		}, disk.ErrCorrupt, "may change"},
		{"itself", func(x *dirtyDisk) {
			x.add(x.j.Form.Transaction(100, []journal.Block{{Number: x.j.Physical(5), Data: filled("journal")}}))
		}, disk.ErrCorrupt, "may change"},
		{"blocks twice", func(x *dirtyDisk) {
			var ino volume.Inode
			if err := x.vol.LoadInode(&ino, disk.JournalIno); err != nil {
				t.Fatal(err)
			}
			half, at := uint32(x.j.Blocks()/2), x.j.Physical(0)
			if _, err := disk.ExtentTree(&ino.Block, []disk.Run{{Logical: 0, Blocks: half, Physical: at}, {Logical: half, Blocks: half, Physical: at}}, ino.Sum, nil, nil); err != nil {
				t.Fatal(err)
			}
			ino.Encode(ino.Raw)
			ino.Sum.Seal(ino.Raw)
			x.put(ino.Raw, ino.Off)
		}, disk.ErrCorrupt, "more than one"},
		{"endless", func(x *dirtyDisk) {
			b := make([]byte, disk.BlockSize)
			journal.Head{Kind: journal.KindDescriptor, Sequence: 100}.Encode(b)
			x.j.Form.EncodeTag(b[journal.HeadSize:], journal.Tag{Block: spare, Flags: journal.TagSameUUID | journal.TagLast})
			binary.BigEndian.PutUint32(b[disk.BlockSize-journal.TailSize:], x.j.Form.TailSum(b))
			for n := x.j.Super.First; n < x.j.Super.Length; n++ {
				x.add([][]byte{b})
			}
		}, disk.ErrCorrupt, "longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newDirty(t, logKinds[7], 1)
			c.change(x)
			x.seal(t)
			err := Grow(context.Background(), x.loggedDisk, Options{Size: 128 << 20})
			if !errors.Is(err, c.err) || !strings.Contains(fmt.Sprint(err), c.text) || len(x.ops) > 0 {
				t.Errorf("%v; %d writes", err, len(x.ops))
			}
		})
	}
}

// A file without the right to be written to stays as it is.
func TestGrowReadOnly(t *testing.T) {
	name := upper(t, ext4.Options{Size: 64 << 20})
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Grow(context.Background(), f, Options{Size: 128 << 20}); err == nil || errors.Is(err, ErrGrowing) {
		t.Error(err)
	}
}
