package read_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/ext4/journal"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/treetest"
)

// loaded is the image in a file.
func loaded(t testing.TB, name string) *ext4test.Memory {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m := &ext4test.Memory{}
	for off := 0; off < len(b); off += disk.BlockSize {
		if page := b[off:min(len(b), off+disk.BlockSize)]; len(bytes.Trim(page, "\x00")) > 0 {
			m.WriteAt(page, int64(off))
		}
	}
	m.Size = int64(len(b))
	return m
}

// fromKernel is a small image that a kernel has written; if it has a journal, the kernel then
// crashed.
func fromKernel(t testing.TB, args ...string) *ext4test.Memory {
	t.Helper()
	name := ext4test.Mke2fs(t, 4<<20, append([]string{"-b", "1024", "-N", "64"}, args...)...)
	ext4test.Crash(t, name, "", ext4test.ShutdownFlushLog, func(dir string) {
		for _, err := range []error{
			os.WriteFile(filepath.Join(dir, "file"), bytes.Repeat([]byte("content "), 50000), 0o644),
			os.WriteFile(filepath.Join(dir, "small"), bytes.Repeat([]byte("s"), 90), 0o644),
			os.Symlink(strings.Repeat("long", 30), filepath.Join(dir, "link")),
			unix.Mknod(filepath.Join(dir, "fifo"), unix.S_IFIFO|0o644, 0),
			os.MkdirAll(filepath.Join(dir, "sub/a"), 0o755),
			os.WriteFile(filepath.Join(dir, "sub/b"), []byte("b"), 0o644),
			os.Link(filepath.Join(dir, "sub/b"), filepath.Join(dir, "sub/a long name to go on elsewhere")),
			unix.Setxattr(filepath.Join(dir, "sub/b"), "user.a", bytes.Repeat([]byte("v"), 500), 0),
			syncFS(dir),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		err := unix.Setxattr(filepath.Join(dir, "sub/b"), "user.large", bytes.Repeat([]byte("v"), 5000), 0)
		if err != nil && !errors.Is(err, unix.ENOSPC) { // without ea_inode
			t.Fatal(err)
		}
		if !slices.Contains(args, "-J") { // nothing of this one is in a journal
			if err := syncFS(dir); err != nil {
				t.Fatal(err)
			}
		}
	})
	m := loaded(t, name)
	var s disk.Superblock
	if s.Decode(m.Page(0)[disk.SuperOffset:]); s.Compat&disk.CompatJournal == 0 {
		s.State = disk.StateClean
		s.Seal(m.Page(0)[disk.SuperOffset:])
	}
	return m
}

// drainRecovered reads everything in an image whose journal may have to be replayed.
func drainRecovered(m *ext4test.Memory) error {
	img, err := read.OpenRecovered(m, m.Size)
	if err != nil {
		return err
	}
	return probetest.DrainImage(img)
}

// attack is a change to an image.
type attack struct {
	name string
	do   func(m *ext4test.Memory)
	text string // in the error, "" if there is none
}

// try makes each attack on a copy of m.
func try(t *testing.T, m *ext4test.Memory, attacks []attack) {
	t.Helper()
	if err := drainRecovered(m); err != nil {
		t.Fatal(err)
	}
	for _, a := range attacks {
		b := &ext4test.Memory{Pages: make(map[int64][]byte), Size: m.Size}
		for n, page := range m.Pages {
			b.Pages[n] = bytes.Clone(page)
		}
		a.do(b)
		var err error
		if err = drainRecovered(b); a.text == "" && err == nil {
			continue
		}
		known := errors.Is(err, disk.ErrCorrupt) || errors.Is(err, disk.ErrUnsupported)
		if a.text == "" || !known || !strings.Contains(err.Error(), a.text) {
			t.Errorf("%s: %v, expected %q", a.name, err, a.text)
		}
	}
}

func put32(off int64, values ...uint32) func(m *ext4test.Memory) {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return func(m *ext4test.Memory) { m.WriteAt(b, off) }
}

func TestInteropHostileBlockMap(t *testing.T) {
	m := fromKernel(t, "-O", "^extents,^64bit,^metadata_csum,^has_journal,^flex_bg")
	file := probetest.InodeIn(t, m, "file") // of 391 blocks, so with two levels
	slot := func(n int) int64 { return file.Off + disk.BlockOffset + int64(n*disk.PointerSize) }
	at := func(n int) uint32 { return binary.LittleEndian.Uint32(file.Block[n*disk.PointerSize:]) }
	try(t, m, []attack{
		{"a block twice", put32(slot(1), at(0)), "more than one file"},
		{"indirect block as data", put32(slot(1), at(12)), "more than one file"},
		{"indirect block outside", put32(slot(12), 1<<31), "blocks 2147483648"},
		{"block 0 as hole", put32(slot(5), 0), ""},
		{"tree in itself", put32(int64(at(13))*1024, at(13)), "more than one file"},
		{"tree of one block", func(m *ext4test.Memory) {
			put32(slot(14), at(13))(m)
			for i := range 256 {
				put32(int64(at(13))*1024+int64(4*i), at(13))(m)
			}
		}, "file: "},
		{"after the end", put32(file.Off+4, 1000), "data up to block"},
		{"after the end, with an orphan", func(m *ext4test.Memory) {
			put32(file.Off+4, 1000)(m)
			put32(disk.SuperOffset+0xE8, file.Number)(m)
		}, ""},
	})
	for i := range 256 { // Lookup claims nothing for others, and must end nevertheless
		put32(int64(at(13))*1024+int64(4*i), at(13))(m)
	}
	put32(slot(14), at(13))(m)
	put32(file.Off+4, 1<<31)(m)
	img, err := read.Open(m, m.Size)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := img.Lookup("file"); !errors.Is(err, disk.ErrCorrupt) || !strings.Contains(err.Error(), "more than one file") {
		t.Error(err)
	}
}

func TestInteropHostileInline(t *testing.T) {
	m := fromKernel(t, "-O", "inline_data,^metadata_csum,^has_journal")
	small, sub, fifo := probetest.InodeIn(t, m, "small"), probetest.InodeIn(t, m, "sub"), probetest.InodeIn(t, m, "fifo")
	if small.Flags&sub.Flags&disk.FlagInlineData == 0 {
		t.Fatal("nothing is inline")
	}
	area := func(ino *volume.Inode) int64 { return ino.Off + disk.SmallInodeSize + int64(ino.ExtraISize) }
	names := sub.Off + disk.BlockOffset + 4
	try(t, m, []attack{
		{"longer than the data", put32(small.Off+4, 1<<20), ""}, // a hole follows
		{"much longer", put32(small.Off+0x6C, 1<<30), "bytes"},
		{"no magic", put32(area(small), 0), ""},
		{"value outside", put32(area(small)+4+8, 1<<16), "xattr at byte"},
		{"value in an inode", put32(area(small)+4+4, small.Number), "inline data in inode"},
		{"device with data", put32(fifo.Off+0x20, uint32(disk.FlagInlineData)), "has data"},
		{"another parent", put32(sub.Off+disk.BlockOffset, 12), "as its parent"},
		{"directory of another size", put32(sub.Off+4, 1024), "inline data of"},
		{"directory in itself", put32(names, sub.Number), "second name"},
		{"the root below", put32(names, disk.RootIno), "sub/"},
		{"entry beyond the part", func(m *ext4test.Memory) { m.WriteAt([]byte{60, 0}, names+4) }, "directory entry"},
		{"symbolic link without data", func(m *ext4test.Memory) {
			link := probetest.InodeIn(t, m, "link")
			put32(link.Off+0x20, uint32(disk.FlagInlineData))(m)
		}, "link target"},
	})
}

func TestInteropHostileXattrInode(t *testing.T) {
	m := fromKernel(t, "-O", "ea_inode,^metadata_csum,^has_journal")
	b := probetest.InodeIn(t, m, "sub/b")
	var entry int64 // of user.large, in the inode
	var number uint32
	for at := disk.InodeFixedSize; at+16 <= len(b.Raw) && number == 0; at += 4 {
		if binary.LittleEndian.Uint32(b.Raw[at+8:]) == 5000 {
			entry, number = b.Off+int64(at), binary.LittleEndian.Uint32(b.Raw[at+4:])
		}
	}
	if number == 0 {
		t.Fatal("no value in an inode")
	}
	img, err := read.Open(m, m.Size)
	if err != nil {
		t.Fatal(err)
	}
	value, err := img.Volume().ReadInode(number)
	if err != nil {
		t.Fatal(err)
	}
	try(t, m, []attack{
		{"value in its own user", put32(entry+4, b.Number), "no value of an xattr"},
		{"value in a directory", put32(entry+4, disk.RootIno), "no value of an xattr"},
		{"value in no inode", put32(entry+4, 1<<30), "inode 1073741824 of"},
		{"another size", put32(entry+8, 4999), "no value of an xattr of 4999"},
		{"a huge size", put32(entry+8, 1<<31), "2147483648 bytes in inode"},
		{"a hole for a value", func(m *ext4test.Memory) {
			m.WriteAt(make([]byte, 12), value.Off+disk.BlockOffset+disk.ExtentHeadSize)
			m.WriteAt([]byte{0, 0}, value.Off+disk.BlockOffset+2)
		}, "has holes"},
		{"another checksum", put32(value.Off+8, 1), "checksum"},
		{"a name for a value", func(m *ext4test.Memory) {
			dir := probetest.InodeIn(t, m, "sub")
			data := int64(binary.LittleEndian.Uint32(dir.Block[disk.ExtentHeadSize+8:])) * 1024
			block := make([]byte, 1024)
			m.ReadAt(block, data)
			at := int64(bytes.Index(block, []byte("\x01\x01b")) - 6) // name of one byte, of a file
			put32(data+at, number)(m)
		}, "holds the value of an xattr"},
	})
}

func TestInteropHostileJournal(t *testing.T) {
	m := fromKernel(t, "-J", "size=1", "-O", "^metadata_csum,^64bit")
	vol, err := volume.Open(m, m.Size, func(*disk.Superblock) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	log, err := vol.OpenJournal()
	if err != nil {
		t.Fatal(err)
	}
	if log.Super.Start == 0 {
		t.Fatal("the journal is empty")
	}
	super := func(change func(s *journal.Super)) func(m *ext4test.Memory) {
		return func(m *ext4test.Memory) {
			s := log.Super
			change(&s)
			b := make([]byte, journal.SuperSize)
			s.Encode(b)
			m.WriteAt(b, log.Offset())
		}
	}
	ino, err := vol.ReadInode(disk.JournalIno)
	if err != nil {
		t.Fatal(err)
	}
	try(t, m, []attack{
		{"blocks of another size", super(func(s *journal.Super) { s.BlockSize = 4096 }), "blocks of 4096 bytes in a file system of 1024"},
		{"more fast blocks than there are", super(func(s *journal.Super) {
			s.Incompat |= journal.IncompatFastCommit
			s.FastBlocks = 1<<32 - 1
		}), ""},
		{"all blocks fast", super(func(s *journal.Super) {
			s.Incompat |= journal.IncompatFastCommit
			s.FastBlocks = s.Length
		}), ""},
		{"longer than its file", super(func(s *journal.Super) { s.Length = 1<<32 - 1 }), "of a file of"},
		{"asynchronous", super(func(s *journal.Super) { s.Incompat |= journal.IncompatAsyncCommit }), "asynchronous"},
		{"given up", super(func(s *journal.Super) { s.Errno = 1<<32 - 5 }), "given up by a kernel"},
		{"version 1", super(func(s *journal.Super) { s.Type = journal.KindSuperV1 }), ""},
		{"another superblock", func(m *ext4test.Memory) { // the log has a superblock with blocks of 8192 bytes
			b := make([]byte, 1024)
			form := log.Super.Form()
			vol.ReadBlock(b, 1)
			binary.LittleEndian.PutUint32(b[0x18:], 3)
			for i, block := range form.Transaction(log.Super.Sequence, []journal.Block{{Number: 1, Data: b}}) {
				m.WriteAt(block, int64(log.Physical(log.Super.Start+uint32(i)))*1024)
			}
		}, "with the journal replayed"},
		{"inode without blocks", put32(ino.Off+disk.BlockOffset, 0, 0), "journal: "},
		{"no checksums where there are some", super(func(s *journal.Super) { s.Incompat &^= journal.IncompatSumV3 }), ""},
	})
	facts := func() []reftest.Fact {
		img, err := read.OpenRecovered(m, m.Size)
		if err != nil {
			t.Fatal(err)
		}
		return treetest.Facts(t, img.Source())
	}
	want := facts()
	super(func(s *journal.Super) { s.Type = journal.KindSuperV1 })(m)
	reftest.Compare(t, want, facts())
}

// Images of a kernel with some bytes changed end in an error that says what is wrong, or are
// read.
func TestInteropMutations(t *testing.T) {
	rounds := 400
	if os.Getenv("SOAK") == "true" {
		rounds = 20000
	}
	for _, features := range []string{"^extents,^64bit,^flex_bg,^has_journal", "inline_data,^has_journal", "ea_inode,^has_journal", "bigalloc,^has_journal", "^64bit"} {
		args := []string{"-O", "^metadata_csum," + features}
		if features == "^64bit" {
			args = append(args, "-J", "size=1")
		}
		m := fromKernel(t, args...)
		rnd := rand.New(rand.NewPCG(1, uint64(len(features))))
		numbers := slices.Sorted(maps.Keys(m.Pages))
		good := 0
		for range rounds {
			b := &ext4test.Memory{Pages: maps.Clone(m.Pages), Size: m.Size}
			for range 1 + rnd.IntN(3) {
				n := numbers[min(rnd.IntN(len(numbers)), rnd.IntN(len(numbers)))] // most metadata is in front
				page := bytes.Clone(b.Pages[n])
				for at := rnd.IntN(len(page)); ; at = rnd.IntN(len(page)) {
					if page[at] == 0 && rnd.IntN(20) > 0 {
						continue
					}
					page[at] = []byte{0, 1, 0xFF, page[at] ^ 1<<rnd.IntN(8), byte(rnd.Uint32())}[rnd.IntN(5)]
					break
				}
				b.Pages[n] = page
			}
			if err := drainRecovered(b); err == nil {
				good++
			} else if !errors.Is(err, disk.ErrCorrupt) && !errors.Is(err, disk.ErrUnsupported) && !errors.As(err, new(*tree.LimitError)) {
				t.Errorf("%s: %v", features, err)
			}
		}
		if good == 0 || good == rounds {
			t.Errorf("%s: %d of %d are read", features, good, rounds)
		}
	}
}
