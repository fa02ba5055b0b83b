package interop

import (
	"archive/tar"
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ocipipe/lib/reftest"
)

// kinds are what a tree can have much of: each makes an entry with the number i of
// layer l.
var kinds = map[string]func(l, i int) *tar.Header{
	"files": func(l, i int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("f/%d/%d", i%100, i), Size: int64(i % 3)}
	},
	"long names": func(l, i int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("n/%d.%d.", l, i) + strings.Repeat("n", 200)}
	},
	"xattrs": func(l, i int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("x/%d.%d", l, i), PAXRecords: map[string]string{
			"SCHILY.xattr.user.one": fmt.Sprint(i), "SCHILY.xattr.user.two": fmt.Sprint(l, i),
		}}
	},
	"large xattrs": func(l, i int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("x/%d.%d.large", l, i), PAXRecords: map[string]string{
			"SCHILY.xattr.user.one": fmt.Sprint(l, i, strings.Repeat("v", 120)),
		}}
	},
	"symbolic links": func(l, i int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("s/%d.%d", l, i), Typeflag: tar.TypeSymlink, Linkname: fmt.Sprint(i, strings.Repeat("t", 150))}
	},
	"hard links": func(l, i int) *tar.Header {
		if i%5 == 0 {
			return &tar.Header{Name: fmt.Sprintf("h/%d.%d", l, i), Size: 1}
		}
		return &tar.Header{Name: fmt.Sprintf("h/%d.%d", l, i), Typeflag: tar.TypeLink, Linkname: fmt.Sprintf("h/%d.%d", l, i-i%5)}
	},
	"directories": func(l, i int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("d/%d.%d", l, i), Typeflag: tar.TypeDir}
	},
	"devices": func(l, i int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("c/%d.%d", l, i), Typeflag: tar.TypeChar, Devmajor: int64(l) + 1, Devminor: int64(i)}
	},
}

// layerKinds are what only a layer can have much of, as kinds are, with how many names
// each takes. Those that a layer below can complete can be merged, and those that
// overlayfs can express go on an upper disk. bytes are how many it may take for each
// name, if not 400. entry makes entry i of so many.
var layerKinds = map[string]struct {
	names  int
	merges bool
	upper  bool
	bytes  int64
	entry  func(i, of int) *tar.Header
}{
	"implied directories": {200, true, true, 0, func(i, of int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("%d/%sf", i, strings.Repeat("a/", 198))}
	}},
	"directories of one name": {2, true, true, 0, func(i, of int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("d/%d/f", i)}
	}},
	"whiteouts": {1, true, true, 0, func(i, of int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("w/.wh.%d", i)}
	}},
	"opaque directories": {1, true, true, 0, func(i, of int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("%d/.wh..wh..opq", i)}
	}},
	"opaque directories in one": {1, true, true, 0, func(i, of int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("o/%d/.wh..wh..opq", i)}
	}},
	"links to layers below": {1, false, false, 0, func(i, of int) *tar.Header {
		return &tar.Header{Name: fmt.Sprintf("l/%d", i), Typeflag: tar.TypeLink, Linkname: fmt.Sprintf("t/%d", i)}
	}},
	"links to what comes late": {1, true, false, 0, func(i, of int) *tar.Header {
		if i >= of/2 {
			return &tar.Header{Name: fmt.Sprintf("t/%d", i-of/2)}
		}
		return &tar.Header{Name: fmt.Sprintf("l/%d", i), Typeflag: tar.TypeLink, Linkname: fmt.Sprintf("t/%d", i)}
	}},
	"links to few late files": {1, true, false, 500, func(i, of int) *tar.Header {
		if i >= of-4 {
			return &tar.Header{Name: fmt.Sprintf("t/%d", i%4)}
		}
		return &tar.Header{Name: fmt.Sprintf("l/%d", i), Typeflag: tar.TypeLink, Linkname: fmt.Sprintf("t/%d", i%4)}
	}},
}

// heap is what design and README promise of a process beyond its first 64 MiB: 400
// bytes an entry and the bytes of names, targets and extended attributes.
func heap(h *tar.Header) (n int64) {
	n = 400 + int64(len(path.Base(h.Name))+len(h.Linkname))
	for name, value := range h.PAXRecords {
		n += int64(len(strings.TrimPrefix(name, "SCHILY.xattr.")) + len(value))
	}
	return n
}

// TestMemory checks that the tools keep within bounds with much of everything at once, in
// several layers, whatever the sizes of files.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("measures the tools, not this process")
	}
	all := slices.Sorted(maps.Keys(kinds))
	t.Run("all", func(t *testing.T) { measure(t, all, "tree2erofs -o out", "tree2tar -o /dev/null") })
	// An extended attribute that does not fit into the inode takes a block of its own.
	inInode := slices.DeleteFunc(all, func(name string) bool { return name == "large xattrs" })
	t.Run("all of ext4", func(t *testing.T) { measure(t, inInode, "tree2ext4 -o out") })
}

// TestMemoryOfEach is TestMemory for one kind of thing after the other.
func TestMemoryOfEach(t *testing.T) {
	reftest.Long(t)
	for name := range kinds {
		t.Run(name, func(t *testing.T) { measure(t, []string{name}, "tree2erofs -o out", "tree2tar -o /dev/null") })
	}
}

// TestMemoryOfLayer is TestMemory for what a layer can have: a single one, and two that
// are merged.
func TestMemoryOfLayer(t *testing.T) {
	reftest.Long(t)
	built(t)
	const names = 200_000
	for name, kind := range layerKinds {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			layer := func(l, of int) (file string, bound int64) {
				file = filepath.Join(dir, fmt.Sprint(l))
				writeTar(t, file, func(add func(h *tar.Header)) {
					n := names / of / kind.names
					for i := range n {
						h := kind.entry(i, n)
						h.Name = fmt.Sprint(l, h.Name)
						if h.Linkname != "" {
							h.Linkname = fmt.Sprint(l, h.Linkname)
						}
						bound += cmp.Or(kind.bytes, 400)*int64(kind.names) + int64(len(h.Name)+len(h.Linkname))
						add(h)
					}
				})
				return file, bound
			}
			file, bound := layer(0, 1)
			for _, flag := range []string{"", "--sort"} {
				args := strings.Fields(flag + " " + file)
				within(t, 64<<20+bound, args, "tree2erofs --layer -o out")
				if kind.upper {
					within(t, 64<<20+bound, args, "mkext4upper --size=4G --inodes=300000 --tree=- -o out")
				}
			}
			if !kind.merges {
				return
			}
			one, n := layer(1, 2)
			two, m := layer(2, 2)
			for _, sink := range []string{"tree2erofs -o out", "tree2ext4 -o out"} {
				within(t, 64<<20+n+m, []string{one, two}, sink)
			}
		})
	}
}

// TestTreeMemory has little input that would take much memory end at the limit, with
// what the limit and 64 MiB hold.
func TestTreeMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("measures the tools, not this process")
	}
	built(t)
	const limit = 64 << 20
	for name, kind := range layerKinds {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "layer")
			writeTar(t, file, func(add func(h *tar.Header)) {
				n := 2 * limit / 400 / kind.names
				for i := range n {
					add(kind.entry(i, n))
				}
			})
			tool := reftest.Command(t, filepath.Join(bin, "tar2tree"), "--sort", "--max-tree-memory=64M", "-o", "out", file)
			tool.Dir = t.TempDir()
			out, err := tool.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "hint: --max-tree-memory raises the limit") {
				t.Fatalf("%v: %s", err, out)
			}
			if peak := tool.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10; peak > limit+64<<20 {
				t.Errorf("%d MiB", peak>>20)
			} else {
				t.Logf("%d MiB", peak>>20)
			}
		})
	}
}

// TestMemoryOfWindows has layers of zstd, read at the same time, ask for large windows.
func TestMemoryOfWindows(t *testing.T) {
	if testing.Short() {
		t.Skip("measures the tools, not this process")
	}
	built(t)
	const window = 128 << 20
	const layers = 6
	flags := []string{"-j6"}
	for l := range layers {
		flags = append(flags, filepath.Join(t.TempDir(), fmt.Sprint(l)))
		writeTar(t, flags[l+1], func(add func(h *tar.Header)) { add(&tar.Header{Name: fmt.Sprint("f", l)}) })
		packInto(t, flags[l+1], window+window/8)
	}
	within(t, 64<<20+window, flags, "tree2tar -o /dev/null")
}

// packInto compresses file, a tar, with the largest window that is read, and has n nulls
// follow it.
func packInto(t *testing.T, file string, n int) {
	t.Helper()
	const last, raw, repeated, block = 1, 0 << 1, 1 << 1, 128 << 10
	plain, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	header := func(b []byte, kind, size int) []byte {
		h := kind | size<<3
		return append(b, byte(h), byte(h>>8), byte(h>>16))
	}
	packed := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (27 - 10) << 3}
	for part := range slices.Chunk(plain, block) {
		packed = append(header(packed, raw, len(part)), part...)
	}
	for range n / block {
		packed = append(header(packed, repeated, block), 0)
	}
	if err := os.WriteFile(file, header(packed, raw|last, 0), 0o666); err != nil {
		t.Fatal(err)
	}
}

func measure(t *testing.T, names []string, sinks ...string) {
	built(t)
	const layers, entries = 3, 84_000
	var files []string
	bound := int64(64 << 20)
	for l := range layers {
		file := filepath.Join(t.TempDir(), fmt.Sprint(l))
		bound += bigLayer(t, file, l, entries/layers, names)
		files = append(files, file)
	}
	for _, sink := range sinks {
		within(t, bound, files, sink)
	}
}

func bigLayer(t *testing.T, file string, l, n int, names []string) (bytes int64) {
	t.Helper()
	writeTar(t, file, func(write func(h *tar.Header)) {
		add := func(h *tar.Header) {
			write(h)
			bytes += heap(h)
		}
		for _, dir := range []string{"f", "n", "x", "s", "h", "d", "c"} {
			add(&tar.Header{Name: dir, Typeflag: tar.TypeDir})
		}
		for i := range 100 {
			add(&tar.Header{Name: fmt.Sprintf("f/%d", i), Typeflag: tar.TypeDir})
		}
		add(&tar.Header{Name: fmt.Sprint("large", l), Size: 30 << 20})
		for _, name := range names {
			for i := range n / len(names) {
				add(kinds[name](l, i))
			}
		}
	})
	return bytes
}

// writeTar makes file a tar of what fill adds, with nulls for contents.
func writeTar(t *testing.T, file string, fill func(add func(h *tar.Header))) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := bufio.NewWriter(f)
	w := tar.NewWriter(buf)
	fill(func(h *tar.Header) {
		h.Mode, h.Format = 0o755, tar.FormatPAX
		err = w.WriteHeader(h)
		if err == nil {
			_, err = io.CopyN(w, nulls{}, h.Size)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := buf.Flush(); err != nil {
		t.Fatal(err)
	}
}

type nulls struct{}

func (nulls) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// within runs "tar2tree FILES | SINK" and looks at the memory of each.
func within(t *testing.T, bound int64, files []string, sink string) {
	t.Helper()
	words := strings.Fields(sink)
	first := reftest.Command(t, filepath.Join(bin, "tar2tree"), files...)
	second := reftest.Command(t, filepath.Join(bin, words[0]), words[1:]...)
	first.Dir, second.Dir = t.TempDir(), t.TempDir()
	first.Stderr, second.Stderr = os.Stderr, os.Stderr
	out, err := first.StdoutPipe()
	if err == nil {
		second.Stdin = out
		err = first.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	failed := second.Run()
	out.Close() // so that the first ends too
	if err := first.Wait(); err != nil || failed != nil {
		t.Fatalf("%s: %v, %v", sink, err, failed)
	}
	for name, state := range map[string]*os.ProcessState{"tar2tree": first.ProcessState, words[0]: second.ProcessState} {
		peak := state.SysUsage().(*syscall.Rusage).Maxrss << 10
		t.Logf("%s: %d MiB of %d", name, peak>>20, bound>>20)
		if peak > bound {
			t.Errorf("%s: %d MiB, bound %d", name, peak>>20, bound>>20)
		}
	}
}
