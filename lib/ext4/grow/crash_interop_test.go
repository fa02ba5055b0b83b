package grow

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/reftest"
)

// growCrashes are changes small enough to be interrupted everywhere.
var growCrashes = []struct {
	name    string
	from    int64 // MiB
	to      int64
	mkfs    string
	ordered bool // no journal, or too short a one
	slow    bool // not always
}{
	{name: "last group", from: 100, to: 120, slow: true},
	{name: "groups", from: 200, to: 600},
	{name: "descriptors", from: 8190, to: 8900, mkfs: "-J size=8 -E resize=5000000"},
	{name: "no checksums", from: 300, to: 500, mkfs: "-O ^metadata_csum,^64bit -J size=4", slow: true},
	{name: "no journal", from: 100, to: 600, mkfs: "-O ^has_journal", ordered: true},
	{name: "short journal", from: 200, to: 600, mkfs: "-J size=4 -E resize=1000000000", ordered: true, slow: true},
}

// Whatever part of what was not synced yet reaches the disk, a crash leaves the
// old or the new file system, and e2fsck has only the journal to replay; without a
// journal it has to repair what it finds, and does.
func TestInteropGrowCrash(t *testing.T) {
	parts := 3
	if soak() {
		parts = 40
	}
	for _, c := range growCrashes {
		if c.slow && !soak() {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			image := ext4test.Mke2fs(t, c.from<<20, append(strings.Fields(c.mkfs), "-b", "4096")...)
			ext4test.WriteMounted(t, image, func(dir string) {
				if err := os.WriteFile(dir+"/file", []byte(crashContent), 0o644); err != nil {
					t.Fatal(err)
				}
			})
			start := loadDisk(t, image)
			grown := start.clone()
			if err := Grow(context.Background(), grown, Options{Size: c.to << 20}); err != nil {
				t.Fatal(err)
			}
			probetest.Fsck(t, grown.save(t))
			seen := checkStates(t, start, grown, parts, c.ordered)
			if got := reftest.Run(t, "debugfs", "-R", "cat /file", grown.save(t)); got != crashContent {
				t.Errorf("the file has %d other bytes", len(got))
			}
			before, after := sizeOf(t, start), sizeOf(t, grown)
			if t.Logf("%d operations, states %v", len(grown.ops), seen); seen[before] == 0 || seen[after] == 0 {
				t.Errorf("states of only one size: %v", seen)
			}
		})
	}
}

// crashContent is what is in a file meanwhile.
var crashContent = strings.Repeat("kept\n", 1<<17)

// checkStates lets e2fsck look at all states between the two disks, and counts
// them by the size that it finds. It may repair only where there was no journal.
func checkStates(t *testing.T, start, grown *loggedDisk, parts int, repair bool) map[uint64]int {
	t.Helper()
	before, after := sizeOf(t, start), sizeOf(t, grown)
	seen := make(map[uint64]int)
	for _, crash := range crashStates(start, grown.ops, parts) {
		name := crash.disk.save(t)
		out, err := reftest.Try(t, "e2fsck", "-fy", name) // exits with 1 where it did something
		if says := probetest.Complaint(out); says != nil && !repair {
			t.Errorf("%s: %v, %v", crash.name, says, err)
		}
		probetest.Fsck(t, name)
		if out, err := reftest.Try(t, "debugfs", "-R", "cat /file", name); repair && (err != nil || out != crashContent) {
			t.Errorf("%s: the file has %d other bytes, %v", crash.name, len(out), err)
		}
		blocks := sizeOf(t, loadDisk(t, name))
		if seen[blocks]++; blocks != before && blocks != after {
			t.Errorf("%s: %d blocks, want %d or %d", crash.name, blocks, before, after)
		}
		if blocks == after && crash.ops < len(grown.ops) && seen[after] == 1 {
			mountCrashed(t, crash.disk.save(t))
		}
		os.Remove(name)
		if t.Failed() {
			t.FailNow()
		}
	}
	return seen
}

// A crash in the middle of our own replay leaves a journal to be replayed.
func TestInteropReplayCrash(t *testing.T) {
	start := growable(t, ext4.Options{Size: 200 << 20})
	grown := start.clone()
	if err := Grow(context.Background(), grown, Options{Size: 9 << 30}); err != nil {
		t.Fatal(err)
	}
	for i := range grown.ops { // up to where the journal has the transaction
		if start.do(grown.ops[i]); grown.ops[i].sync && startOf(t, start) != 0 {
			break
		}
	}
	again := start.clone()
	if err := Grow(context.Background(), again, Options{Size: 9 << 30}); err != nil {
		t.Fatal(err)
	}
	if seen := checkStates(t, start, again, 6, false); len(seen) != 1 || seen[9<<18] == 0 {
		t.Errorf("sizes %v", seen)
	}
}

// mountCrashed lets the kernel replay the journal of image, which makes it larger
// under its eyes, and use the disk.
func mountCrashed(t testing.TB, image string) {
	t.Helper()
	ext4test.WriteMounted(t, image, func(dir string) {
		for i := range 50 {
			if err := os.WriteFile(fmt.Sprint(dir, "/f", i), make([]byte, 1<<20), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	// That mount does not know of the new groups, and leaves counts without them.
	out, err := reftest.Try(t, "e2fsck", "-fn", image)
	for _, wrong := range []string{"Free blocks count wrong (", "Free inodes count wrong ("} {
		if before, after, found := strings.Cut(out, wrong); found {
			_, after, _ = strings.Cut(after, "Fix? no")
			out = before + after
		}
	}
	if err == nil {
		err = probetest.Complaint(out)
	}
	if err != nil {
		t.Errorf("after a mount: %v", err)
	}
	ext4test.WriteMounted(t, image, func(string) {})
	probetest.Fsck(t, image)
}

// crashState is a disk as a crash may leave it.
type crashState struct {
	name string
	ops  int // operations that had begun
	disk *loggedDisk
}

// crashStates are the disks after each prefix of ops, and after random parts of
// what follows a sync.
func crashStates(start *loggedDisk, ops []diskOp, parts int) (list []crashState) {
	rnd := rand.New(rand.NewPCG(1, uint64(len(ops))))
	synced := start.clone()
	begin := 0
	for i, op := range ops {
		if !op.sync && i+1 < len(ops) {
			continue
		}
		flight := ops[begin:i]
		step := max(1, len(flight)/parts)
		for n := 0; n <= len(flight); n += step {
			d := synced.clone()
			for _, op := range flight[:n] {
				d.do(op)
			}
			list = append(list, crashState{fmt.Sprintf("operation %d of %d", begin+n, len(ops)), begin + n, d})
		}
		for k := range min(parts, len(flight)) {
			d := synced.clone()
			for _, op := range flight {
				if rnd.IntN(2) == 0 {
					d.do(op)
				}
			}
			list = append(list, crashState{fmt.Sprintf("part %d of operations %d to %d", k, begin, i), i, d})
		}
		for _, op := range flight {
			synced.do(op)
		}
		begin = i + 1
	}
	return list
}

func sizeOf(t testing.TB, d *loggedDisk) uint64 {
	t.Helper()
	b := make([]byte, disk.SuperSize)
	if _, err := d.ReadAt(b, disk.SuperOffset); err != nil {
		t.Fatal(err)
	}
	var s disk.Superblock
	s.Decode(b)
	return s.Blocks()
}

// A disk that fails on the way is as it was before, or says that it is not.
func TestInteropGrowFails(t *testing.T) {
	image := ext4test.Mke2fs(t, 200<<20, "-b", "4096")
	start := loadDisk(t, image)
	d := start.clone()
	if err := Grow(context.Background(), d, Options{Size: 600 << 20}); err != nil {
		t.Fatal(err)
	}
	for n := range d.ops {
		d := start.clone()
		d.fail = n + 1
		err := Grow(context.Background(), d, Options{Size: 600 << 20})
		if !errors.Is(err, errFull) {
			t.Fatalf("operation %d: %v", n, err)
		}
		d.fail = 0
		if !errors.Is(err, ErrGrowing) {
			name := d.save(t)
			probetest.Fsck(t, name)
			if sizeOf(t, d) != sizeOf(t, start) || d.size != start.size {
				t.Errorf("operation %d: has changed, and says only %v", n, err)
			}
		}
		if err := Grow(context.Background(), d, Options{Size: 600 << 20}); err != nil && sizeOf(t, d) != 600<<8 {
			t.Errorf("operation %d: again: %v", n, err)
		}
		probetest.Fsck(t, d.save(t))
		if t.Failed() {
			return
		}
	}
}
