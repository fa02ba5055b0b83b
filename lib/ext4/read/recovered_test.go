package read_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree/treetest"
)

// busy does random work in dir. It leaves files open that have no name any more, and returns
// them.
func busy(t testing.TB, dir string, seed uint64, rounds int) (open []*os.File) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 2))
	name := func() string {
		return filepath.Join(dir, fmt.Sprint("d", rnd.IntN(4)), fmt.Sprint(strings.Repeat("n", rnd.IntN(100)), rnd.IntN(60)))
	}
	for i := range 4 {
		if err := os.MkdirAll(filepath.Join(dir, fmt.Sprint("d", i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := syncFS(dir); err != nil {
		t.Fatal(err)
	}
	for range rounds {
		var err error
		switch a, b := name(), name(); rnd.IntN(12) {
		case 0:
			err = os.Remove(a)
		case 1:
			err = os.Rename(a, b)
		case 2:
			err = os.Link(a, b)
		case 3:
			err = os.Symlink(strings.Repeat("t", 1+rnd.IntN(500)), a)
		case 4:
			err = os.Mkdir(a, 0o700)
		case 5:
			err = unix.Lsetxattr(a, fmt.Sprint("user.x", rnd.IntN(5)), bytes.Repeat([]byte("v"), rnd.IntN(600)), 0)
		case 6:
			err = os.Truncate(a, rnd.Int64N(1<<20))
		case 7:
			err = os.Chmod(a, os.FileMode(rnd.IntN(0o1000)))
		case 8:
			var f *os.File
			if f, err = os.Create(a); err == nil {
				_, err = f.Write(bytes.Repeat([]byte("unlinked"), rnd.IntN(10000)))
				err = errors.Join(err, f.Sync(), os.Remove(a))
				open = append(open, f)
			}
		case 9:
			var f *os.File
			if f, err = os.OpenFile(a, os.O_RDWR, 0); err == nil {
				err = f.Sync()
				f.Close()
			}
		default:
			err = os.WriteFile(a, bytes.Repeat([]byte{byte(rnd.Uint32()), 1}, rnd.IntN(40000)), 0o644)
		}
		if err != nil && !errors.As(err, new(*os.PathError)) && !errors.As(err, new(*os.LinkError)) && !errors.As(err, new(unix.Errno)) {
			t.Fatal(err)
		}
	}
	return open
}

func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// copyOf copies the image in a file, which may be mounted. It is an error if the image changes
// meanwhile.
func copyOf(t testing.TB, image string) string {
	t.Helper()
	for range 20 {
		b, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		again, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		if sha256.Sum256(b) != sha256.Sum256(again) {
			continue
		}
		name := filepath.Join(t.TempDir(), "copy.ext4")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	t.Fatal("the image changes all the time")
	return ""
}

// recovered opens the image in a file.
func recovered(t testing.TB, name string) (*read.Image, error) {
	t.Helper()
	f := openFile(t, name)
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return read.OpenRecovered(f, fi.Size())
}

// compareRecovered compares what the reader shows of the image in a file with what the kernel
// shows after it has replayed the journal of a copy.
func compareRecovered(t testing.TB, name string, ignore ...string) {
	t.Helper()
	img, err := recovered(t, name)
	if err != nil {
		t.Fatal(err)
	}
	have := treetest.Facts(t, img.Source())
	var want []reftest.Fact
	ext4test.WriteMounted(t, copyOf(t, name), func(dir string) { want = reftest.Walk(t, dir, reftest.Look{DirLinks: true}) })
	want = slices.DeleteFunc(want, func(f reftest.Fact) bool { return f.Path == disk.LostFoundDir })
	want[0].Nlink--
	reftest.Compare(t, want, have, ignore...)
}

// A file system on which a kernel crashed is read as the next kernel shows it.
func TestInteropRecovered(t *testing.T) {
	replayed, orphans := 0, 0
	for _, c := range []struct {
		name    string
		args    []string
		options string
	}{
		{"default", nil, ""},
		{"1K", []string{"-b", "1024"}, ""},
		{"2K, data in the journal", []string{"-b", "2048"}, ",data=journal"},
		{"ext3", []string{"-t", "ext3", "-b", "1024"}, ""},
		{"no checksums", []string{"-O", "^metadata_csum,^64bit"}, ",journal_checksum"},
		{"orphan file", []string{"-O", "orphan_file", "-b", "1024"}, ""},
		{"all", []string{"-O", "inline_data,ea_inode,metadata_csum_seed,large_dir"}, ""},
		{"bigalloc", []string{"-O", "bigalloc"}, ""},
		{"meta_bg", []string{"-O", "meta_bg,^resize_inode", "-b", "1024"}, ""},
	} {
		for seed, how := range []uint32{ext4test.ShutdownFlushLog, ext4test.ShutdownNow} {
			t.Run(fmt.Sprint(c.name, ", ", how), func(t *testing.T) {
				image := ext4test.Mke2fs(t, 24<<20, append([]string{"-J", "size=4"}, c.args...)...)
				ext4test.Crash(t, image, c.options, how, func(dir string) {
					open := busy(t, dir, uint64(seed), 600)
					ext4test.Shutdown(t, dir, how)
					for _, f := range open {
						f.Close()
					}
				})
				if _, err := read.Open(openFile(t, image), 24<<20); !errors.As(err, new(*volume.DirtyError)) {
					t.Errorf("not recovered: %v", err)
				}
				img, err := recovered(t, image)
				if err != nil {
					t.Fatal(err)
				}
				replayed++
				if img.Volume().Super.HasOrphans() {
					orphans++
				}
				compareRecovered(t, image)
			})
		}
	}
	if orphans < replayed/3 {
		t.Errorf("of %d images only %d have orphans", replayed, orphans)
	}
}

func openFile(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Fast commits that came after the last transaction are refused by name, older ones do no harm.
func TestInteropFastCommit(t *testing.T) {
	refused := 0
	for seed := range 4 {
		image := ext4test.Mke2fs(t, 24<<20, "-b", "1024", "-O", "fast_commit")
		ext4test.Crash(t, image, "", ext4test.ShutdownNow, func(dir string) {
			open := busy(t, dir, uint64(seed)+20, 300)
			if err := syncFS(dir); err != nil {
				t.Fatal(err)
			}
			if seed%2 == 0 {
				f, err := os.Create(filepath.Join(dir, "fast"))
				if err == nil {
					_, err = f.WriteString("committed fast")
				}
				if err = errors.Join(err, f.Sync()); err != nil {
					t.Fatal(err)
				}
				open = append(open, f)
			}
			ext4test.Shutdown(t, dir, ext4test.ShutdownNow)
			for _, f := range open {
				f.Close()
			}
		})
		switch _, err := recovered(t, image); {
		case err == nil:
			compareRecovered(t, image)
		case errors.Is(err, disk.ErrUnsupported) && strings.Contains(err.Error(), "fast commits"):
			refused++
		default:
			t.Error(err)
		}
	}
	if refused != 2 {
		t.Errorf("%d of 4 are refused", refused)
	}
}

// The image of a mounted file system is read as it would be after a crash.
func TestInteropReadMounted(t *testing.T) {
	for seed, sync := range []bool{true, false, true, false} {
		image := ext4test.Mke2fs(t, 24<<20, "-b", []string{"1024", "4096"}[seed/2])
		var taken string
		ext4test.WriteMounted(t, image, func(dir string) {
			open := busy(t, dir, uint64(seed)+10, 500)
			if sync {
				if err := syncFS(dir); err != nil {
					t.Fatal(err)
				}
			}
			taken = copyOf(t, image)
			for _, f := range open {
				f.Close()
			}
		})
		compareRecovered(t, taken)
	}
}

// Of a file that was about to be truncated, what lies after its new end is not read.
func TestInteropReadTruncated(t *testing.T) {
	for _, features := range []string{"extents", "^extents,^64bit"} {
		image := ext4test.Mke2fs(t, 24<<20, "-O", features)
		var number uint64
		ext4test.WriteMounted(t, image, func(dir string) {
			if err := os.WriteFile(filepath.Join(dir, "file"), bytes.Repeat([]byte("long "), 100000), 0o644); err != nil {
				t.Fatal(err)
			}
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(dir, "file"), &st); err != nil {
				t.Fatal(err)
			}
			number = st.Ino
		})
		reftest.Run(t, "debugfs", "-w", "-R", "sif file size 5000", image)
		if img, err := recovered(t, image); err != nil {
			t.Fatal(err)
		} else if _, err := img.Lookup("file"); !errors.Is(err, disk.ErrCorrupt) {
			t.Errorf("blocks after the end of a file that is no orphan: %v", err)
		}
		reftest.Run(t, "debugfs", "-w", "-R", fmt.Sprint("ssv last_orphan ", number), image)
		compareRecovered(t, image, "Time") // the kernel truncates it now
	}
}

// What is dirty in a way that the journal does not mend is refused.
func TestRecoveredRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(s *disk.Superblock)
		dirty  bool
		err    error
		text   string
	}{
		{"clean", func(*disk.Superblock) {}, false, nil, "<nil>"},
		{"not unmounted, without a journal", func(s *disk.Superblock) { s.State = 0 }, true, disk.ErrUnsupported, "not unmounted"},
		{"errors", func(s *disk.Superblock) { s.State |= disk.StateErrors }, true, disk.ErrUnsupported, "damaged by a kernel"},
		{"recovery without a journal", func(s *disk.Superblock) { s.Incompat |= disk.IncompatRecover }, false, disk.ErrCorrupt, "no journal"},
		{"external journal", func(s *disk.Superblock) {
			s.Incompat |= disk.IncompatRecover
			s.Compat |= disk.CompatJournal
			s.JournalIno, s.JournalDev = 0, 0x801
		}, false, disk.ErrUnsupported, "external journal"},
		{"journal without blocks", func(s *disk.Superblock) {
			s.Incompat |= disk.IncompatRecover
			s.Compat |= disk.CompatJournal
			s.JournalIno = disk.JournalIno
		}, false, disk.ErrCorrupt, "inode 8"},
	} {
		m := victim(t, noSums(t))
		var s disk.Superblock
		s.Decode(m.Page(0)[disk.SuperOffset:])
		s.Compat &^= disk.CompatJournal
		c.change(&s)
		s.Seal(m.Page(0)[disk.SuperOffset:])
		_, err := read.OpenRecovered(m, m.Size)
		if !errors.Is(err, c.err) || !strings.Contains(fmt.Sprint(err), c.text) || errors.As(err, new(*volume.DirtyError)) != c.dirty {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
