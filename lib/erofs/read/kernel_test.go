package read_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// damage is a change of a byte of an image.
type damage struct {
	what string
	off  int64
	bits byte
}

// damages are changes of bytes in the indexes and the clusters of the compressed files of img.
func damages(t testing.TB, img *read.Image, r *rand.Rand, n int) (all []damage) {
	t.Helper()
	clusters, index := places(t, img)
	for range n {
		bits := byte(1) << r.Intn(8)
		if r.Intn(3) == 0 && len(index) > 0 {
			all = append(all, damage{"index", index[r.Intn(len(index))], bits})
			continue
		}
		x := clusters[r.Intn(len(clusters))]
		all = append(all, damage{fmt.Sprint("cluster ", x), x.Pos + r.Int63n(x.Size), bits})
	}
	return all
}

// places returns where the clusters and the bytes of the indexes of img are, those of the
// packed inode included.
func places(t testing.TB, img *read.Image) (clusters []z.Extent, index []int64) {
	t.Helper()
	contents := []*read.Content{img.Packed()}
	files := list(t, img.Source())
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if c, ok := files[path].Content.(*read.Content); ok && path != "zeros" {
			contents = append(contents, c)
		}
	}
	for _, c := range contents {
		if c == nil {
			continue
		}
		if at, size, ok := c.IndexPlace(); ok {
			for off := at + z.HeaderSize; off < at+size; off++ {
				index = append(index, off)
			}
		}
		for x, err := range c.Clusters() {
			if err != nil {
				t.Fatal(err)
			}
			if x.Size > 0 && !x.Fragment {
				clusters = append(clusters, x)
			}
		}
	}
	return clusters, index
}

// Where the kernel cannot read a damaged file, neither can we, and what both read is the same.
// FSCK_EROFS names an fsck.erofs that knows all algorithms; then we refuse more than the kernel
// only where it does, too, or where mayBeStricter says why. DAMAGES is how many damages an image
// gets.
func TestInteropDamage(t *testing.T) {
	reftest.NeedRoot(t)
	count := damageCount(t)
	var all judgement
	for _, name := range []string{
		"lz4-4096", "lz4-65536", "lz4-65536-legacy", "lz4-65536-tails", "lz4-4096-dedupe", "lz4-65536-fragments",
		"zstd-65536", "zstd-65536-legacy", "zstd-4096-48bit", "deflate-65536", "deflate-65536-tails", "deflate-65536-dedupe", "deflate-4096-legacy",
	} {
		whole := bytes.Clone(compressedImage(t, name))
		dropChecksum(whole)
		for _, d := range damages(t, open(t, whole), rand.New(rand.NewSource(7)), count) {
			if d.what == "index" && strings.Contains(name, "48bit") {
				continue // Linux 6.18 does not come back from some
			}
			b := bytes.Clone(whole)
			b[d.off] ^= d.bits
			what := fmt.Sprintf("%s: %s, byte %d ^ %#x", name, d.what, d.off, d.bits)
			t.Run(what, func(t *testing.T) { all.judge(t, b, corpusFiles...) })
		}
	}
	all.needAll(t)
}

// corpusFiles are compressed files of the images of testdata.
var corpusFiles = []string{"seq", "noise", "beginning", "mixed", "dir/again", "dir/s4095", "dir/s4096", "dir/s4097", "dir/s8192", "dir/s65536", "dir/s65537"}

// damageCount is how many damages an image gets.
func damageCount(t *testing.T) int {
	count := 4
	if _, err := fmt.Sscan(os.Getenv("DAMAGES"), &count); err != nil && os.Getenv("DAMAGES") != "" {
		t.Fatal(err)
	}
	return count
}

// judgement counts what the kernel and we say of files.
type judgement struct{ refused, read, stricter int }

// needAll fails t unless there were files of both kinds that matter.
func (j *judgement) needAll(t *testing.T) {
	t.Logf("files that both refuse: %d, that both read: %d, that only the kernel reads: %d", j.refused, j.read, j.stricter)
	if j.refused == 0 || j.read == 0 {
		t.Error("nothing was tested")
	}
}

func (j *judgement) judge(t *testing.T, b []byte, paths ...string) {
	file := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	root := reftest.Mount(t, "erofs", file, "")
	for path, ours := range readEach(b, paths) {
		theirs, err := os.ReadFile(filepath.Join(root, path))
		if err != nil && ours.err == nil {
			theirs, err = readApart(filepath.Join(reftest.Mount(t, "erofs", file, ""), path))
		}
		switch {
		case err != nil && ours.err == nil:
			t.Errorf("%s: the kernel says %v", path, err)
		case err != nil:
			j.refused++
		case ours.err != nil:
			j.stricter++
			if !mayBeStricter(ours.err) {
				needFsckError(t, file, fmt.Errorf("%s: %w", path, ours.err))
			}
		case !bytes.Equal(theirs, ours.data):
			t.Errorf("%s: the kernel reads other bytes", path)
		default:
			j.read++
		}
	}
}

// readApart reads a file page by page. The kernel takes two extents whose clusters begin at the
// same address, of one file or of two, for the same one if it comes to both at a time, and then
// refuses the second. Alone it reads each of them, and so do we.
func readApart(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, fi.Size())
	for at := 0; at < len(b); at += os.Getpagesize() {
		if _, err := f.ReadAt(b[at:min(at+os.Getpagesize(), len(b))], int64(at)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// mayBeStricter reports whether err is about a damage that the kernel finds only sometimes: an
// entry that it needs only if it begins to read there, or if it wants to know where an extent
// ends, two extents with the same cluster, or a frame of zstd that has the right length, although
// a bit stream in it does not end where it should.
func mayBeStricter(err error) bool {
	for _, text := range []string{"does not belong to the extent", "reaches past entry", "have the same cluster", "zstd frame fails"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// needFsckError fails t if fsck.erofs, when there is one, finds nothing wrong.
func needFsckError(t *testing.T, image string, ours error) {
	if !reftest.Named("fsck.erofs") {
		return
	}
	var errs bytes.Buffer
	cmd := reftest.Command(t, "fsck.erofs", "--extract", image)
	cmd.Stdout, cmd.Stderr = &errs, &errs
	if err := cmd.Run(); err == nil && !strings.Contains(errs.String(), "<E>") {
		t.Errorf("only we refuse it: %v", ours)
	}
}

// MKFS_EROFS names an mkfs.erofs that knows all algorithms. What it makes of the sources and
// the programs of Go we read as the kernel does, and as they are.
func TestInteropCompressed(t *testing.T) {
	if !reftest.Named("mkfs.erofs") {
		t.Skip("MKFS_EROFS does not name a version that has all of it")
	}
	out, err := reftest.Command(t, "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	goroot := strings.TrimSpace(string(out))
	root := t.TempDir()
	for _, dir := range []string{"src/go", "src/net", "bin"} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS(filepath.Join(goroot, dir))); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{
		"-zlz4", "-zlz4 -C65536 -Elegacy-compress", "-zlz4hc,9 -C1048576", "-zlz4 -C65536 -Eztailpacking", "-zlz4 -C65536 -Eall-fragments,dedupe", "-zlz4 -E48bit",
		"-zzstd,3", "-zzstd,3 -C65536 -Efragments,dedupe", "-zzstd,3 -C65536 -E48bit", "-zdeflate,6 -C65536 -Eztailpacking", "-zdeflate,6 -C65536 -Elegacy-compress",
	} {
		t.Run(args, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "image")
			reftest.Run(t, "mkfs.erofs", append(strings.Fields(args), "--quiet", file, root)...)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			compareTrees(t, open(t, b), root, reftest.Mount(t, "erofs", file, ""))
		})
	}
}

// compareTrees compares the files of img with those below some directories.
func compareTrees(t *testing.T, img *read.Image, roots ...string) {
	n := 0
	for path, e := range list(t, img.Source()) {
		if e.Type != tree.File || e.Hardlink != "" || e.Content == nil {
			continue
		}
		n++
		var ours bytes.Buffer
		if _, err := e.Content.WriteTo(&ours); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, root := range roots {
			if theirs, err := os.ReadFile(filepath.Join(root, path)); err != nil || !bytes.Equal(theirs, ours.Bytes()) {
				t.Errorf("%s: not as in %s: %v", path, root, err)
			}
		}
		readSomewhere(t, path, e.Content.(*read.Content), ours.Bytes(), 1)
	}
	if n < 500 {
		t.Errorf("%d files", n)
	}
}

type outcome struct {
	data []byte
	err  error
}

// readEach reads the files by themselves.
func readEach(b []byte, paths []string) map[string]outcome {
	all := map[string]outcome{}
	img, err := read.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return map[string]outcome{".": {err: err}}
	}
	for _, path := range paths {
		e, err := img.Lookup(path)
		var out bytes.Buffer
		if err == nil && e.Content != nil {
			err = tree.WriteExpanded(&out, e)
		}
		all[path] = outcome{out.Bytes(), err}
	}
	return all
}
