package interop

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"ocipipe/lib/reftest"
)

// letters are bytes that compress to about a half, without an end.
type letters struct{ r *rand.Rand }

func (l letters) Read(b []byte) (int, error) {
	for i := 0; i < len(b); {
		for v, n := l.r.Uint64(), 0; n < 8 && i < len(b); n++ {
			b[i] = "etaoin shrdlu\ncm"[v&15]
			v >>= 8
			i++
		}
	}
	return len(b), nil
}

// lettersTree makes a stream of n files of size bytes each.
func lettersTree(t *testing.T, n int, size int64) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf, r := bufio.NewWriter(f), letters{rand.New(rand.NewPCG(1, 2))}
	w := tar.NewWriter(buf)
	for i := range n {
		err = w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%d/%d", i%50, i), Mode: 0o644, Size: size})
		if err == nil {
			_, err = io.CopyN(w, r, size)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := buf.Flush(); err != nil {
		t.Fatal(err)
	}
	stream := filepath.Join(dir, "tree")
	if _, err := peak(t, "tar2tree", "-o", stream, f.Name()); err != nil {
		t.Fatal(err)
	}
	return stream
}

// peak runs a tool as on a large machine, and returns its peak memory in bytes.
func peak(t *testing.T, tool string, args ...string) (int64, error) {
	t.Helper()
	cmd := reftest.Command(t, filepath.Join(bin, tool), args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=32")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", cmd, err, out)
	}
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10, nil
}

// TestMemoryOfCompression checks that compressing takes no more than 64 MiB besides what every
// tool may have, however many cores there are, and that reading what was compressed takes none.
func TestMemoryOfCompression(t *testing.T) {
	if testing.Short() {
		t.Skip("measures the tools, not this process")
	}
	built(t)
	for _, c := range []struct {
		name string
		n    int
		size int64
	}{{"one large file", 1, 160 << 20}, {"files of some MiB", 40, 3 << 20}, {"many small files", 20_000, 5000}} {
		stream := lettersTree(t, c.n, c.size)
		base := int64(64<<20 + 450*c.n)
		for _, flags := range [][]string{{"-zlz4"}, {"-zlz4hc,2"}, {"-zzstd"}, {"-zzstd", "--extents=encoded", "--layer"}, {"-zdeflate,1"}} {
			t.Run(fmt.Sprint(c.name, flags), func(t *testing.T) {
				image := filepath.Join(t.TempDir(), "image")
				for _, run := range []struct {
					bound int64
					args  []string
				}{
					{base + 64<<20, append([]string{"tree2erofs", "--quiet", "-o", image, stream}, flags...)},
					{base, []string{"erofs2tree", "-o", "/dev/null", image}},
					{base, []string{"erofs-patch", "--lower", image, "--append=/0/0=x", "--full", "-o", "/dev/null"}},
				} {
					n, err := peak(t, run.args[0], run.args[1:]...)
					t.Logf("%s: %d MiB of %d", run.args[0], n>>20, run.bound>>20)
					if err != nil || n > run.bound {
						t.Errorf("%s: %d MiB, bound %d (%v)", run.args[0], n>>20, run.bound>>20, err)
					}
				}
			})
		}
	}
}
