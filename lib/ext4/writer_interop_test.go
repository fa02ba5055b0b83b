package ext4

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// edges are sizes, in blocks, around those where the geometry changes.
func edges() (list []int64) {
	const (
		group   = disk.BlocksPerGroup
		flex    = group << defaultLogFlex
		gdt     = group * disk.BlockSize / disk.GroupDescSize
		copyAt  = 25 * group // a group with a copy
		tebi    = 1 << 28
		edgeOne = 2 + 512 + 129 + disk.LastGroupRoom // with a copy and 8192 inodes
	)
	for _, at := range []int64{group, 3 * group, flex, gdt, copyAt} {
		for _, d := range []int64{-1, 0, 1, edgeOne - 129, edgeOne - 1, edgeOne, 4096} {
			list = append(list, at+d)
		}
	}
	return append(list, MinUpper/disk.BlockSize, tebi-1, tebi+1, 2*tebi+1)
}

// TestInteropEdges: e2fsck is silent about disks of every odd size, and they have
// the size that they should.
func TestInteropEdges(t *testing.T) {
	for _, blocks := range edges() {
		path := build(t, Options{Upper: true, Size: blocks*disk.BlockSize + 17, Check: blocks < 1<<20})
		probetest.Fsck(t, path)
		if fi, err := os.Stat(path); err != nil || fi.Size() != blocks*disk.BlockSize {
			t.Errorf("%d blocks: %v, %v", blocks, fi, err)
		}
		os.Remove(path)
	}
}

// TestInteropRootEdges: likewise root file systems whose files end around the edge
// of a group, with metadata behind.
func TestInteropRootEdges(t *testing.T) {
	none := int64(0)
	for _, opts := range []Options{{Shrink: true}, {Shrink: true, Journal: &none}, {FreeSpace: &none}} {
		for _, blocks := range []int64{1, 2000, disk.BlocksPerGroup - 1200, disk.BlocksPerGroup - 1150, disk.BlocksPerGroup - 700, disk.BlocksPerGroup - 129, disk.BlocksPerGroup - 128, disk.BlocksPerGroup} {
			e := &tree.Entry{Path: "f", Type: tree.File, Size: blocks * disk.BlockSize, Content: zeroContent(blocks * disk.BlockSize)}
			opts.Check = true
			path := build(t, opts, e)
			probetest.Fsck(t, path)
			os.Remove(path)
		}
	}
}

// TestInteropHuge makes disks beyond what resize_inode can address, on a tmpfs, as
// few file systems take files of that size.
func TestInteropHuge(t *testing.T) {
	reftest.Long(t) // e2fsck takes its time
	reftest.NeedRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1g"); err != nil {
		reftest.Skip(t, "mount a tmpfs: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	for _, size := range []int64{16<<40 - 8<<30, 16<<40 - disk.BlockSize, 16 << 40, 17 << 40, MaxSize} {
		path := filepath.Join(dir, "image")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeTo(f, Options{Upper: true, Size: size}, []*tree.Entry{ext4test.File("f", ext4test.Pattern(1, 5000))}); err != nil {
			t.Fatal(err)
		}
		f.Close()
		probetest.Fsck(t, path)
		has := strings.Contains(reftest.Run(t, "dumpe2fs", "-h", path), "resize_inode")
		if want := size <= 16<<40-8<<30; has != want {
			t.Errorf("%d bytes: resize_inode is %v", size, has)
		}
		os.Remove(path)
	}
}

// TestInteropFeatures: every feature can be missing, alone and with others; e2fsck
// is silent, and the kernel mounts it and shows what is in it.
func TestInteropFeatures(t *testing.T) {
	var lists []string
	all := ""
	for _, k := range features {
		name := "^" + k.name
		if k.off {
			name = k.name
		} else {
			all += "," + name
		}
		lists = append(lists, name)
	}
	lists = append(lists, all[1:], "^64bit,^metadata_csum", "^flex_bg,^resize_inode", "^64bit,metadata_csum_seed")
	for _, list := range lists {
		f, err := ParseFeatures(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, upper := range []bool{true, false} {
			if !upper && !f.has(flexBG) {
				continue
			}
			opts := Options{Upper: upper, Features: f, Check: true, Size: 300 << 20}
			path := build(t, opts, ext4test.Corpus()...)
			probetest.Fsck(t, path)
			checkNames(t, path, list)
			below := "."
			if upper {
				below = "upper"
			}
			var want []tree.Entry
			for _, e := range ext4test.Corpus() {
				want = append(want, *e)
			}
			mounted := reftest.Mount(t, "ext4", path, "noload")
			got := reftest.Walk(t, filepath.Join(mounted, below), reftest.Look{DirLinks: true})
			facts := treeFacts(t, want)
			for i := range facts {
				facts[i].Extents = "" // of this see the property test
			}
			reftest.Compare(t, facts, withoutLostFound(got))
		}
	}
}

// checkNames fails t unless e2fsprogs names just the features of list.
func checkNames(t *testing.T, path, list string) {
	t.Helper()
	out := reftest.Run(t, "dumpe2fs", "-h", path)
	line := regexp.MustCompile(`Filesystem features: *(.*)`).FindStringSubmatch(out)
	if line == nil {
		t.Fatal("dumpe2fs names no features")
	}
	have := strings.Fields(line[1])
	for _, word := range strings.Split(list, ",") {
		name, off := strings.CutPrefix(word, "^")
		if slices.Contains(have, name) == off {
			t.Errorf("%s: features are %s", list, line[1])
		}
	}
}

// What dumpe2fs shows of a disk of ours and not of one that mke2fs makes with the
// same options, or the other way round.
var differences = regexp.MustCompile(strings.Join([]string{
	`^Default mount options:`,                                                  // the kernel's are the same since 2.6.39
	`^Free (inodes|blocks):`, `^  Free (inodes|blocks):`, `^  \d+ free blocks`, // /upper and /work
	`^(Filesystem created|Last write time|Last checked|Lifetime writes):`, // there is no clock
	`^Directory Hash Seed:`, `^Checksum:`, // derived from content, and from the above
	// ITABLE_ZEROED says that nothing has to be zeroed: the file was empty. mke2fs
	// 1.47.0 takes groups with copies of the superblock as uninitialized, 1.47.1
	// does not.
	`^Group \d+: \(Blocks`,
	`^  (Block|Inode) bitmap at \d+ .*, csum`, // see sameBitmaps
}, "|"))

// TestInteropDump compares a disk with that of mke2fs, line by line.
func TestInteropDump(t *testing.T) {
	for _, size := range []int64{600 << 20, 4 << 30, 33 << 30, 100 << 30, 700 << 30} {
		const id = "01234567-89ab-cdef-0123-456789abcdef"
		uuid := [16]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF}
		theirs := filepath.Join(t.TempDir(), "mke2fs")
		if err := os.WriteFile(theirs, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(theirs, size); err != nil {
			t.Fatal(err)
		}
		const grows = 1 << 28 // blocks: 128 blocks of descriptors in all
		reftest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-U", id, "-L", "label",
			"-E", fmt.Sprintf("lazy_journal_init=1,nodiscard,root_owner=0:0,resize=%d", grows-1), theirs)
		ours := build(t, Options{Upper: true, Size: size, UUID: &uuid, Label: "label", MaxSize: grows * disk.BlockSize})
		have, want := dump(t, ours), dump(t, theirs)
		compareLines(t, size, have, want)
		sameBitmaps(t, have, want)
	}
}

func dump(t *testing.T, path string) []string {
	return strings.Split(reftest.Run(t, "dumpe2fs", path), "\n")
}

func compareLines(t *testing.T, size int64, have, want []string) {
	t.Helper()
	other := func(line string) bool { return differences.MatchString(line) }
	have, want = slices.DeleteFunc(slices.Clone(have), other), slices.DeleteFunc(slices.Clone(want), other)
	if len(want) < 50 {
		t.Fatalf("only %d lines", len(want))
	}
	for i := range max(len(have), len(want)) {
		if i >= len(have) || i >= len(want) || have[i] != want[i] {
			t.Fatalf("%d bytes, line %d\nhave %s\nwant %s", size, i, have[i], want[i])
		}
	}
}

// sameBitmaps compares the places of bitmaps.
func sameBitmaps(t *testing.T, have, want []string) {
	t.Helper()
	places := func(lines []string) (list []string) {
		for _, l := range lines {
			if m := regexp.MustCompile(`^  ((Block|Inode) bitmap at \d+ .*), csum`).FindStringSubmatch(l); m != nil {
				list = append(list, m[1])
			}
		}
		return list
	}
	if a, b := places(have), places(want); len(a) == 0 || !slices.Equal(a, b) {
		t.Errorf("bitmaps lie elsewhere: %q, %q", a[:3], b[:3])
	}
}

// TestInteropAllocated: what is empty takes no room.
func TestInteropAllocated(t *testing.T) {
	for size, most := range map[int64]int64{4 << 30: 1 << 20, 64 << 30: 2 << 20, 1 << 40: 16 << 20} {
		var st unix.Stat_t
		if err := unix.Stat(build(t, Options{Upper: true, Size: size}), &st); err != nil {
			t.Fatal(err)
		}
		if st.Blocks*512 > most {
			t.Errorf("%d bytes take %d, over %d", size, st.Blocks*512, most)
		}
	}
}

// TestInteropManyDirs: as many directories in one as can be counted, and one more.
func TestInteropManyDirs(t *testing.T) {
	var entries []*tree.Entry
	for i := range disk.NlinkMax - 3 { // lost+found is one, too, and . and .. count
		entries = append(entries, ext4test.Dir(fmt.Sprintf("d%05d", i), 0o755))
	}
	for _, c := range []struct {
		more  int
		links uint64
	}{{0, disk.NlinkMax}, {1, 1}} {
		path := build(t, Options{Shrink: true, Check: true}, append(entries, ext4test.Dir("more", 0o755))[:len(entries)+c.more]...)
		probetest.Fsck(t, path)
		var st unix.Stat_t
		if err := unix.Stat(reftest.Mount(t, "ext4", path, "noload"), &st); err != nil || uint64(st.Nlink) != c.links {
			t.Errorf("%d more: the root has %d links; %v", c.more, st.Nlink, err)
		}
	}
	err := writeTo(new(ext4test.Memory), Options{Features: dirNlink}, append(entries, ext4test.Dir("more", 0o755)))
	if err == nil || !strings.HasPrefix(err.Error(), ".: 64999 directories in it") {
		t.Errorf("without dir_nlink: %v", err)
	}
}
