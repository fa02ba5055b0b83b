package grow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/reftest"
)

// soak reports whether tests may take long.
func soak() bool { return os.Getenv("SOAK") == "true" }

// upper makes an empty upper disk of ours.
func upper(t testing.TB, opts ext4.Options) string {
	t.Helper()
	opts.Upper = true
	name := filepath.Join(t.TempDir(), "upper.ext4")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := ext4.NewWriter(context.Background(), f, opts)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func growFile(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return Grow(context.Background(), f, Options{Size: size})
}

// grown grows the image and checks it, also against what resize2fs makes of a copy.
func grown(t testing.TB, name string, blocks int64) {
	t.Helper()
	ref := copyImage(t, name)
	if err := growFile(name, blocks*disk.BlockSize); err != nil {
		t.Fatal(err)
	}
	probetest.Fsck(t, name)
	reftest.Run(t, "resize2fs", "-f", ref, fmt.Sprint(blocks))
	sameNumbers(t, name, ref)
	os.Remove(ref)
}

// sameNumbers compares what two superblocks say. resize2fs takes other blocks for
// metadata where groups are not joined alike, but as many.
func sameNumbers(t testing.TB, name, ref string) {
	t.Helper()
	got, want := probetest.SuperOfFile(t, name), probetest.SuperOfFile(t, ref)
	for _, f := range []struct {
		what      string
		got, want any
	}{
		{"blocks", got.Blocks(), want.Blocks()},
		{"inodes", got.Inodes, want.Inodes},
		{"reserved blocks", got.ReservedBlocks(), want.ReservedBlocks()},
		{"free blocks", got.FreeBlocks(), want.FreeBlocks()},
		{"free inodes", got.FreeInodes, want.FreeInodes},
		{"reserved descriptors", got.ReservedGDT, want.ReservedGDT},
		{"features", [3]any{got.Compat, got.Incompat, got.RoCompat}, [3]any{want.Compat, want.Incompat, want.RoCompat}},
	} {
		if f.got != f.want {
			t.Errorf("%s: %v, resize2fs %v", f.what, f.got, f.want)
		}
	}
}

// Growth from, to and over each number of groups at which the layout changes.
func TestInteropGrowEdges(t *testing.T) {
	edges := []int64{1, 2, 4, 16, 26, 64}
	if soak() {
		edges = []int64{1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 25, 26, 27, 28, 31, 32, 33, 48, 49, 50, 63, 64, 65, 81, 82, 125, 126, 127, 128, 129}
	}
	for _, n := range edges {
		exact := n * disk.BlocksPerGroup
		for _, c := range [][2]int64{
			{max(exact-disk.BlocksPerGroup/2, 20000), exact}, {exact, exact + 2200}, {exact, exact + 500}, {exact, exact + disk.BlocksPerGroup},
			{exact - 1, exact + 1}, {exact, 3*exact - 7}, {20000, exact + 5000}, {exact + 5000, exact + 5001},
		} {
			if c[0] >= c[1] || c[1]-c[0] < 1000 && c[0] == exact {
				continue
			}
			t.Run(fmt.Sprintf("%d-%d", c[0], c[1]), func(t *testing.T) {
				image := ext4test.Mke2fs(t, c[0]*disk.BlockSize, "-b", "4096", "-J", "size=4", "-E", "resize=20000000")
				grown(t, image, c[1])
			})
		}
	}
}

// growVariants are kinds of disks.
var growVariants = []struct {
	name string
	mkfs string // arguments of mke2fs
	ours string // or features of ours, "," for none
	most int64  // MiB that it can grow to; 0: at least 9000
	slow bool   // not always
}{
	{name: "default"},
	{name: "no resize_inode", mkfs: "-O ^resize_inode", most: 8 << 10},
	{name: "no flex_bg", mkfs: "-O ^flex_bg", slow: true},
	{name: "no 64bit", mkfs: "-O ^64bit", slow: true},
	{name: "no checksums", mkfs: "-O ^metadata_csum", slow: true},
	{name: "old", mkfs: "-O ^metadata_csum,^64bit,^flex_bg"},
	{name: "seed", mkfs: "-O metadata_csum_seed,orphan_file"},
	{name: "inodes", mkfs: "-N 200000 -m 5", slow: true},
	{name: "few inodes", mkfs: "-N 100 -m 50", slow: true},
	{name: "no journal", mkfs: "-O ^has_journal", slow: true},
	{name: "flex", mkfs: "-G 4", slow: true},
	{name: "large flex", mkfs: "-G 1024", slow: true},
	{name: "no reserve", mkfs: "-E resize=3000000", most: 16 << 10, slow: true},
	{name: "inodes of 128 bytes", mkfs: "-I 128", slow: true},
	{name: "inodes of 1024 bytes", mkfs: "-I 1024 -i 4096", slow: true},
	{name: "other features", mkfs: "-O ea_inode,inline_data,large_dir,verity", slow: true},
	{name: "small groups", mkfs: "-g 8192", slow: true},
	{name: "ours", ours: ","},
	{name: "ours, old", ours: "^metadata_csum,^64bit,^flex_bg"},
	{name: "ours, seed", ours: "metadata_csum_seed", slow: true},
	{name: "ours, no resize_inode", ours: "^resize_inode", most: 8 << 10, slow: true},
}

func variantImage(t testing.TB, mkfs, ours string, size int64) string {
	t.Helper()
	if ours == "" {
		return ext4test.Mke2fs(t, size, append([]string{"-b", "4096"}, strings.Fields(mkfs)...)...)
	}
	features, err := ext4.ParseFeatures(ours)
	if err != nil {
		t.Fatal(err)
	}
	return upper(t, ext4.Options{Size: size, Features: features})
}

// Disks of all kinds are grown by us, used by the kernel, and grown again by
// everybody.
func TestInteropGrowVariants(t *testing.T) {
	for _, c := range growVariants {
		if c.slow && !soak() {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			image := variantImage(t, c.mkfs, c.ours, 150<<20)
			use(t, image, "before")
			probetest.Fsck(t, image)
			grown(t, image, 700<<8)
			use(t, image, "between")
			probetest.Fsck(t, image)
			if c.most == 0 {
				grown(t, image, 9000<<8)
			} else if err := growFile(image, c.most<<20+1<<30); err == nil || !strings.Contains(err.Error(), strconv.FormatInt(c.most<<20, 10)) {
				t.Errorf("growth without reserve: %v", err)
			}
			reftest.Run(t, "e2fsck", "-fp", image)
			reftest.Run(t, "resize2fs", image, "9500M")
			probetest.Fsck(t, image)
			use(t, image, "after")
			online(t, image, 9600)
			if c.most == 0 { // what resize2fs made without a resize inode may be meta_bg
				grown(t, image, 9800<<8)
			}
			reftest.Run(t, "e2fsck", "-fn", image)
		})
	}
}

// online lets the kernel grow a mounted disk.
func online(t testing.TB, image string, mib int64) {
	t.Helper()
	if err := os.Truncate(image, mib<<20); err != nil {
		t.Fatal(err)
	}
	ext4test.WriteMounted(t, image, func(dir string) {
		device := strings.TrimSpace(reftest.Run(t, "findmnt", "-no", "SOURCE", dir))
		_, err := reftest.Try(t, "resize2fs", device)
		if err != nil && strings.Contains(err.Error(), "Permission denied to resize") {
			t.Log("no right to resize online here")
			mib = int64(probetest.SuperOfFile(t, image).BlocksLo >> 8)
		} else if err != nil {
			t.Error(err)
		}
	})
	probetest.Fsck(t, image)
	super := probetest.SuperOfFile(t, image)
	if blocks := super.Blocks(); blocks != uint64(mib)<<8 {
		t.Errorf("%d blocks after it was resized online to %d", blocks, mib<<8)
	}
}

// Sizes at which numbers outgrow their fields, and e2fsck takes its time.
func TestInteropGrowLarge(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		name     string
		image    func(t testing.TB) string
		to, fail int64
		slow     bool
	}{
		{"upper", func(t testing.TB) string { return upper(t, ext4.Options{Size: 4 * gib}) }, 1024 * gib, 1032 * gib, false},
		{"2 TiB", func(t testing.TB) string { return ext4test.Mke2fs(t, 2047*gib, "-b", "4096") }, 2049 * gib, 16 << 40, true},
		{"16 TiB", func(t testing.TB) string { return ext4test.Mke2fs(t, 8200*gib, "-b", "4096") }, 16<<40 - 1<<20, 16 << 40, true},
	} {
		if c.slow && !soak() {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if _, err := os.Stat("/dev/shm"); c.slow && err == nil {
				t.Setenv("TMPDIR", "/dev/shm") // ext4 has no files of this size
			}
			image := c.image(t)
			var wrong *SizeError
			if err := growFile(image, c.fail); !errors.As(err, &wrong) {
				t.Errorf("%d bytes: %v", c.fail, err)
			}
			if err := growFile(image, c.to); err != nil {
				t.Fatal(err)
			}
			probetest.Fsck(t, image)
		})
	}
}

// use mounts the disk, fills it with many files, checks those that are there, and
// removes some.
func use(t testing.TB, image, name string) {
	t.Helper()
	ext4test.WriteMounted(t, image, func(dir string) {
		sub := filepath.Join(dir, name)
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			if err := os.WriteFile(fmt.Sprint(sub, "/", i), []byte(strings.Repeat(name, 1<<14)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		names, err := filepath.Glob(dir + "/*/*")
		if err != nil || len(names) < 40 {
			t.Fatal(names, err)
		}
		for i, file := range names {
			if filepath.Base(filepath.Dir(file)) == "lost+found" {
				continue
			}
			b, err := os.ReadFile(file)
			if want := strings.Repeat(filepath.Base(filepath.Dir(file)), 1<<14); err != nil || string(b) != want {
				t.Fatalf("%s: %v, %d bytes", file, err, len(b))
			}
			if i%7 == 0 {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
