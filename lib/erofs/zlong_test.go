package erofs

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"ocipipe/lib/erofs/z"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// longFiles have extents of more entries than a distance in an index can count, and lengths
// around those at which other writers cut: a cluster, and 16 MiB.
func longFiles(cluster int) []tree.Entry {
	const mib = 1 << 20
	var text data
	for i := 0; len(text) <= 16*mib; i++ {
		text = fmt.Appendf(text, "line %d of %x\n", i, i*i)
	}
	es := []tree.Entry{
		dir("."), file("x", bytes.Repeat([]byte("x"), 12*mib)), file("x, text", append(bytes.Repeat([]byte("x"), 12*mib), text[:100000]...)),
		file("zeros, x", append(make(data, 13*mib), 'x')), file("noise, text", join(noise(22000), text[:300000])),
	}
	for _, n := range []int{1, 4095, 4096, 4097, 8192, 8193, cluster, cluster + 1, cluster + 4097, 16*mib - 1, 16 * mib, 16*mib + 1} {
		es = append(es, file(fmt.Sprint("text ", n), text[:n]))
	}
	return es
}

// The kernel reads long files and extents, and the reference tools find no fault: what
// dump.erofs lists are the extents, without gaps.
func TestInteropLongCompressed(t *testing.T) {
	reftest.SameThreads(t, "TestCompressedSame")
	methods := []Method{{Algorithm: z.LZ4}}
	if reftest.Named("fsck.erofs") && reftest.Named("dump.erofs") { // Debian's 1.5 has LZ4 alone
		methods = append(methods, Method{z.LZ4, 2}, Method{z.Zstd, 3}, Method{z.Deflate, 1})
	}
	for _, m := range methods {
		for _, cluster := range []int{4 << 10, 64 << 10} {
			t.Run(fmt.Sprintf("%s-%d, %d", m.Algorithm, m.Level, cluster), func(t *testing.T) {
				es := longFiles(cluster)
				name := write(t, Options{Compression: &Compression{Method: m, PCluster: int64(cluster), Workers: 2}}, es...).Name()
				if out, err := reftest.Try(t, "fsck.erofs", "--extract", name); err != nil || strings.Contains(out, "<E>") {
					t.Errorf("fsck.erofs: %v: %s", err, out)
				}
				compressed := 0
				for _, e := range es[1:] {
					dump := reftest.Run(t, "dump.erofs", "-e", "--path=/"+e.Path, name)
					if !strings.Contains(dump, "Layout: 3") {
						continue
					}
					compressed++
					if err := tiles(dump, e.Size); err != nil {
						t.Errorf("%s: %v", e.Path, err)
					}
				}
				if compressed < 7 {
					t.Errorf("only %d files are compressed", compressed)
				}
				if err := readSomewhere(reftest.Mount(t, "erofs", name, ""), es); err != nil {
					t.Errorf("the kernel, somewhere: %v", err)
				}
				if err := compareMount(reftest.Mount(t, "erofs", name, ""), sourceOf(t, es)); err != nil {
					t.Errorf("the kernel: %v", err)
				}
			})
		}
	}
}

// tiles returns an error unless the extents that dump.erofs has listed are those of a file of
// size bytes.
func tiles(dump string, size int64) error {
	end, n := int64(0), 0
	for line := range strings.Lines(dump) {
		var i, from, to, length int64
		line = strings.NewReplacer(":", " ", "..", " ", "|", " ").Replace(line)
		if k, _ := fmt.Sscan(line, &i, &from, &to, &length); k != 4 {
			continue
		}
		if from != end || to != from+length || length <= 0 {
			return fmt.Errorf("extent %d from %d to %d of %d bytes follows %d", i, from, to, length, end)
		}
		end = to
		n++
	}
	if end != size || n == 0 {
		return fmt.Errorf("%d extents, up to %d of %d bytes", n, end, size)
	}
	return nil
}

func TestTiles(t *testing.T) {
	const good = "Size: 9\n   0:        0..   4 |   4 :       4096..     69632 |   65536\n   1:    4..  9 |  5 :      69632..    135168 |   65536\n/f: 2 extents found\n"
	if err := tiles(good, 9); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{strings.Replace(good, "4..  9", "5..  9", 1), strings.Replace(good, "|  5", "|  6", 1), strings.Replace(good, "1:", "", 1), ""} {
		if tiles(bad, 9) == nil {
			t.Errorf("accepted: %q", bad)
		}
	}
	if tiles(good, 10) == nil {
		t.Error("a byte is in no extent")
	}
}
