package grow

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/blockio"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/ext4/journal"
	"ocipipe/lib/reftest"
)

// churn makes, changes and removes files so that the journal wraps and blocks of
// directories are revoked and become something else. Some blocks look like those of
// a journal.
func churn(t testing.TB, dir string, rounds int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(uint64(rounds), 1))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	block := make([]byte, 3*disk.BlockSize+100)
	for round := range rounds {
		sub := filepath.Join(dir, fmt.Sprint("d", rnd.IntN(4)))
		must(os.RemoveAll(sub))
		must(os.Mkdir(sub, 0o755))
		for i := range 100 + rnd.IntN(300) {
			name := filepath.Join(sub, fmt.Sprintf("%s%d", strings.Repeat("n", rnd.IntN(200)), i))
			for j := range block {
				block[j] = byte(round + j>>12)
			}
			for j := 0; j < len(block) && i%2 == 0; j += disk.BlockSize {
				journal.Head{Kind: uint32(i%8) + 1, Sequence: uint32(round)}.Encode(block[j:])
			}
			must(os.WriteFile(name, block[:rnd.IntN(len(block))], 0o600))
		}
		if rnd.IntN(3) == 0 {
			must(scatter(filepath.Join(sub, "scattered")))
		}
		if rnd.IntN(4) == 0 {
			syncDir(t, dir)
		}
	}
}

// scatter writes a file with a deep extent tree, whose blocks are revoked when it
// is removed.
func scatter(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for i := range int64(500) {
		if _, err := f.WriteAt([]byte{1}, i*2*disk.BlockSize); err != nil {
			return err
		}
	}
	return f.Sync()
}

func syncDir(t testing.TB, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
}

// copyImage copies a sparse image.
func copyImage(t testing.TB, from string) string {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	fi, err := src.Stat()
	if err != nil {
		t.Fatal(err)
	}
	dst, err := os.Create(filepath.Join(t.TempDir(), "copy.ext4"))
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if err := blockio.CopySparse(t.Context(), dst, 0, src, fi.Size()); err != nil {
		t.Fatal(err)
	}
	if err := dst.Truncate(fi.Size()); err != nil {
		t.Fatal(err)
	}
	return dst.Name()
}

// replayed replays the journal of image and nothing else, and returns what was in
// it.
func replayed(t testing.TB, image string) *journal.Recovery {
	t.Helper()
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g, err := openGrowth(f)
	if err != nil {
		t.Fatal(err)
	}
	if g.recovery != nil {
		if err := applyRecovery(f, g.recovery, &g.old); err != nil {
			t.Fatal(err)
		}
	}
	return g.recovery
}

func openGrowth(f Disk) (*growth, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	g := &growth{f: f, size: size, changed: make(map[uint64][]byte)}
	if err := g.open(f); err != nil {
		return nil, err
	}
	return g, g.readOld()
}

// Journals that a kernel left are replayed as e2fsck does it.
func TestInteropReplay(t *testing.T) {
	var seen logStats
	for _, c := range []struct {
		name    string
		mkfs    string
		options string
		how     uint32
		rounds  int
		sums    int
		slow    bool // not always
	}{
		{"flushed", "", "", ext4test.ShutdownFlushLog, 20, 3, true},
		{"cut off", "", "", ext4test.ShutdownNow, 20, 3, true},
		{"wrapped", "-J size=4", "", ext4test.ShutdownFlushLog, 25, 3, false},
		{"wrapped, cut off", "-J size=4", "", ext4test.ShutdownNow, 100, 3, true},
		{"data", "-J size=8", ",data=journal", ext4test.ShutdownFlushLog, 12, 3, false},
		{"data, cut off", "-J size=4", ",data=journal", ext4test.ShutdownNow, 30, 3, true},
		{"no checksums", "-J size=4 -O ^metadata_csum", "", ext4test.ShutdownFlushLog, 40, 0, true},
		{"no checksums, 32 bits", "-J size=4 -O ^metadata_csum,^64bit", "", ext4test.ShutdownFlushLog, 41, 0, true},
		{"version 1", "-J size=4 -O ^metadata_csum", ",journal_checksum", ext4test.ShutdownFlushLog, 15, 1, false},
		{"orphan file", "-J size=4 -O orphan_file,metadata_csum_seed", "", ext4test.ShutdownNow, 15, 3, false},
		{"fast disk", "-J size=4 -b 4096 -N 30000 -O ^flex_bg,^resize_inode", ",nodelalloc", ext4test.ShutdownFlushLog, 50, 3, true},
	} {
		if c.slow && !soak() {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			image := ext4test.Mke2fs(t, 80<<20, append(strings.Fields(c.mkfs), "-b", "4096")...)
			ext4test.Crash(t, image, c.options, c.how, func(dir string) {
				churn(t, dir, c.rounds)
			})
			ref := copyImage(t, image)
			reftest.Run(t, "e2fsck", "-y", "-E", "journal_only", ref)
			stats, sums := statLog(t, image)
			torn := copyImage(t, image)
			tear(t, torn)
			if left, _ := statLog(t, torn); left.transactions != stats.transactions-1 {
				t.Errorf("%d transactions after the last of %d was torn", left.transactions, stats.transactions)
			}
			tornRef := copyImage(t, torn)
			reftest.Run(t, "e2fsck", "-y", "-E", "journal_only", tornRef)
			replayed(t, torn)
			compareImages(t, tornRef, torn)
			dirty := copyImage(t, image)
			if err := growFile(dirty, 300<<20); err != nil {
				t.Fatal(err)
			}
			if hasOrphans(t, dirty) { // the kernel removes them
				ext4test.WriteMounted(t, dirty, func(string) {})
			}
			probetest.Fsck(t, dirty)
			replayed(t, image)
			t.Logf("%+v", stats)
			if seen.add(stats); stats.blocks == 0 {
				t.Error("nothing to replay")
			}
			if sums != c.sums {
				t.Errorf("checksums of version %d, want %d", sums, c.sums)
			}
			compareImages(t, ref, image)
			if !hasOrphans(t, image) {
				probetest.Fsck(t, image)
			}
		})
	}
	if seen.wraps == 0 && soak() || seen.revoked == 0 || seen.escaped == 0 {
		t.Errorf("not everything came up: %+v", seen)
	}
}

// logStats counts what is in a log.
type logStats struct{ transactions, blocks, wraps, revoked, escaped int }

func (s *logStats) add(o logStats) {
	s.transactions += o.transactions
	s.blocks += o.blocks
	s.wraps += o.wraps
	s.revoked += o.revoked
	s.escaped += o.escaped
}

// statLog looks at the journal of image, and at the version of its checksums.
func statLog(t testing.TB, image string) (s logStats, sums int) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g, err := openGrowth(f)
	if err != nil {
		t.Fatal(err)
	}
	j := g.journal
	found, _, err := j.Scan()
	if err != nil {
		t.Fatal(err)
	}
	revoked := make(map[uint64]uint32)
	at := j.Super.Start
	for _, x := range found {
		s.transactions++
		for _, block := range x.Revoked {
			revoked[block] = x.Sequence
		}
		for i := range x.Tags {
			s.blocks++
			if x.Tags[i].Flags&journal.TagEscaped != 0 {
				s.escaped++
			}
			if x.Data[i] < at {
				s.wraps++
			}
			at = x.Data[i]
		}
	}
	for _, x := range found {
		for _, tag := range x.Tags {
			if last, ok := revoked[tag.Block]; ok && last >= x.Sequence {
				s.revoked++
			}
		}
	}
	return s, j.Form.Sums
}

// tear removes the last commit from the journal of image.
func tear(t testing.TB, image string) {
	t.Helper()
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g, err := openGrowth(f)
	if err != nil {
		t.Fatal(err)
	}
	_, end, err := g.journal.Scan()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, disk.BlockSize)
	for n := g.journal.Super.First; n < g.journal.Super.Length; n++ {
		at := int64(g.journal.Physical(n)) * disk.BlockSize
		if _, err := f.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		if head, ok := journal.DecodeHead(b); ok && head == (journal.Head{Kind: journal.KindCommit, Sequence: end - 1}) {
			if _, err := f.WriteAt(make([]byte, disk.BlockSize), at); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// hasOrphans reports whether a kernel still has files to remove.
func hasOrphans(t testing.TB, image string) bool {
	t.Helper()
	s := probetest.SuperOfFile(t, image)
	return s.LastOrphan != 0 || s.RoCompat&disk.RoCompatOrphans != 0
}

// compareImages compares but for what e2fsck writes to every superblock, and for
// counts that are old until a kernel unmounts.
func compareImages(t testing.TB, want, got string) {
	t.Helper()
	a, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != len(b) {
		t.Fatalf("%d bytes, want %d", len(b), len(a))
	}
	for _, f := range []struct{ off, n int }{
		{0x30, 4}, {0x274, 1}, {0x178, 8}, // time, kilobytes written
		{0x0C, 8}, {0x158, 4}, // free blocks and inodes
		{0x3FC, 4},
	} {
		clear(a[disk.SuperOffset+f.off:][:f.n])
		clear(b[disk.SuperOffset+f.off:][:f.n])
	}
	bad := 0
	for i := 0; i < len(a); i += disk.BlockSize {
		if !bytes.Equal(a[i:i+disk.BlockSize], b[i:i+disk.BlockSize]) && bad < 10 {
			bad++
			at := 0
			for a[i+at] == b[i+at] {
				at++
			}
			t.Errorf("block %d differs from byte %#x on: %x, want %x", i/disk.BlockSize, at,
				binary.BigEndian.Uint32(b[i+at&^3:]), binary.BigEndian.Uint32(a[i+at&^3:]))
		}
	}
}
