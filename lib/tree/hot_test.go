package tree

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"testing"
)

// BenchmarkRecord parses and formats records without the stream around them.
func BenchmarkRecord(b *testing.B) {
	stat := " uid=1000 gid=1000 time=1700000000.123456789"
	for _, c := range []struct{ name, line string }{
		{"file", "./usr/lib/node_modules/left-pad/index.js type=file mode=0644" + stat + " size=3012"},
		{"dir", "./usr/lib/node_modules/left-pad type=dir mode=0755" + stat},
		{"link", "./usr/lib/libz.so.1 type=link mode=0777" + stat + " link=libz.so.1.2.13"},
		{"hardlink", "./bin/unzip type=file mode=0755" + stat + " size=8096 hardlink=./bin/zip"},
		{"escapes", "./srv/\\303\\244\\040\\303\\266/a\\040b\\040c type=file mode=0644" + stat + " size=1"},
		{"xattrs", "./bin/ping type=file mode=0755" + stat + " size=9 xattr.security.capability=AQAAAgAgAAAAAAAAAAAAAAAAAAA= xattr.user.note=eA=="},
		{"sparse", "./var/disk type=file mode=0644" + stat + " size=1048576 extents=0+4096,65536+4096,524288+8192"},
	} {
		line := []byte(c.line)
		b.Run("parse/"+c.name, func(b *testing.B) {
			var f fields
			var e Entry
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if err := f.parse(&e, line, Inline); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("format/"+c.name, func(b *testing.B) {
			var f fields
			var e Entry
			if err := f.parse(&e, line, Inline); err != nil {
				b.Fatal(err)
			}
			var out []byte
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				out = appendRecord(out[:0], &e, Inline, "")
			}
			if !bytes.Equal(out, line) {
				b.Fatalf("%s is not %s", out, line)
			}
		})
	}
}

// BenchmarkCRC32 is what a stream pays for its checksum, by the size of writes.
func BenchmarkCRC32(b *testing.B) {
	for _, n := range []int{200, 4 << 10, 256 << 10} {
		data := bytes.Repeat([]byte("ocipipe"), n/7+1)[:n]
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			crc := uint32(0)
			for b.Loop() {
				crc = crc32.Update(crc, crc32.IEEETable, data)
			}
		})
	}
}

// BenchmarkApply puts a layer of 20,000 names over a tree of 50,000: a tenth replace
// files, another tenth are whiteouts of files, the rest is new.
func BenchmarkApply(b *testing.B) {
	names := func(n, from int) (es []Entry) {
		for i := range n {
			k := (i + from) * 7919 % 100_000
			es = append(es, Entry{Path: fmt.Sprintf("usr/lib/pkg-%d/file-%d", k/20, k), Type: File, Mode: 0o644})
		}
		return es
	}
	below, above := names(50_000, 0), names(20_000, 46_000)
	for i := range 2000 {
		above[2*i] = Entry{Path: above[2*i].Path, Type: Char} // 0:0, a whiteout
	}
	build := func(t *Tree, es []Entry) *Tree {
		for i := range es {
			if _, err := t.Put(&es[i]); err != nil {
				b.Fatal(err)
			}
		}
		return t
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		flat, layer := NewFlat(), build(New(), above)
		if err := flat.Apply(build(New(), below)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := flat.Apply(layer); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*20_000/b.Elapsed().Seconds(), "entries/s")
}
