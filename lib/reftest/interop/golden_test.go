package interop

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocipipe/lib/reftest"
)

// TestGolden compares what every tool makes of a small image that never changes
// with testdata/golden.sha256. A digest there changes only with a commit that says
// why: users keep images by their digests.
func TestGolden(t *testing.T) {
	dir := t.TempDir()
	for i, layer := range goldenLayers() {
		writeLayer(t, filepath.Join(dir, fmt.Sprintf("layer%d.tar", i)), layer)
	}
	for _, c := range []struct{ name, line string }{
		{"input.tar", "cat layer0.tar layer1.tar layer2.tar"}, // what it all depends on
		{"merged.tree", "tar2tree layer?.tar"},
		{"merged.mtree", "tar2tree --no-data --digest layer?.tar"},
		{"merged.portable.mtree", "tar2tree --no-data=portable --digest layer?.tar"},
		{"layer1.tree", "tar2tree layer1.tar"},
		{"layer1.sorted.tree", "tar2tree --sort layer1.tar"},
		{"merged.erofs", "tar2tree layer?.tar | tree2erofs"},
		{"merged.label.erofs", "tar2tree layer?.tar | tree2erofs --label golden --clamp-mtime 1600000000"},
		{"merged.512.erofs", "tar2tree layer?.tar | tree2erofs --block-size 512"},
		{"merged.65536.erofs", "tar2tree layer?.tar | tree2erofs --block-size 65536"},
		{"layer0.erofs", "tar2tree layer0.tar | tree2erofs --layer --quiet"},
		{"layer1.erofs", "tar2tree layer1.tar | tree2erofs --layer --quiet"},
		{"layer2.erofs", "tar2tree layer2.tar | tree2erofs --layer --quiet"},
		{"merged.ext4", "tar2tree layer?.tar | tree2ext4 --free-space none"},
		{"merged.label.ext4", "tar2tree layer?.tar | tree2ext4 --label golden --shrink --clamp-mtime 1600000000 --features ^64bit,metadata_csum_seed"},
		{"upper.ext4", "tar2tree layer0.tar | mkext4upper --tree - --size 64M --quiet"},
		{"upper.empty.ext4", "mkext4upper --size 64M --root-mode 1777"},
		{"merged.tar", "tar2tree layer?.tar | tree2tar"},
		{"layer1.oci.tar", "tar2tree layer1.tar | tree2tar --oci"},
	} {
		t.Run(c.name, func(t *testing.T) {
			shell(t, dir, "("+c.line+") > "+c.name)
			f, err := os.Open(filepath.Join(dir, c.name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			reftest.Golden(t, c.name, f)
		})
	}
}

// goldenFile is an entry of a layer; content is made of its name.
type goldenFile struct {
	typ    byte
	name   string
	link   string
	size   int
	mode   int64
	time   time.Time
	uid    int
	xattrs map[string]string
}

// goldenLayers have every type, every kind of mark, and what is easily got wrong.
func goldenLayers() [][]goldenFile {
	const dir, reg, sym, hard = tar.TypeDir, tar.TypeReg, tar.TypeSymlink, tar.TypeLink
	long := strings.Repeat("long", 63) + "abc" // 255
	base := []goldenFile{
		{typ: dir, name: "./", mode: 0o755},
		{typ: dir, name: "etc/", mode: 0o755},
		{typ: reg, name: "etc/hostname", size: 7},
		{typ: reg, name: "etc/shadow", size: 900, mode: 0o640, uid: 70000},
		{typ: dir, name: "usr/", mode: 0o755},
		{typ: dir, name: "usr/bin/", mode: 0o755},
		{typ: sym, name: "bin", link: "usr/bin"},
		{typ: reg, name: "usr/bin/tool", size: 123456, mode: 0o4755, xattrs: map[string]string{"security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}},
		{typ: hard, name: "usr/bin/alias", link: "usr/bin/tool"},
		{typ: dir, name: "dev/", mode: 0o755},
		{typ: tar.TypeChar, name: "dev/null", mode: 0o666},
		{typ: tar.TypeBlock, name: "dev/sda", mode: 0o660, uid: 1},
		{typ: tar.TypeFifo, name: "dev/initctl", mode: 0o600},
		{typ: dir, name: "tmp/", mode: 0o1777},
		{typ: dir, name: "old/", mode: 0o755},
		{typ: reg, name: "old/a", size: 4096},
		{typ: reg, name: "old/b", size: 4097},
		{typ: reg, name: "early", size: 1, time: time.Unix(-2, 500_000_000)},
		{typ: reg, name: "late", size: 1, time: time.Unix(1<<33, 1)},
		{typ: reg, name: "empty"},
		{typ: reg, name: "bytes \xff\xfe\n=*", size: 3},
		{typ: reg, name: long, size: 4095, xattrs: map[string]string{"user.a": "1", "user.b": "", "trusted.c": strings.Repeat("x", 300)}},
		{typ: dir, name: "many/", mode: 0o2775},
	}
	for i := range 300 {
		base = append(base, goldenFile{typ: reg, name: fmt.Sprintf("many/%d", i), size: i * 37, xattrs: map[string]string{"user.shared": "the same"}})
	}
	return [][]goldenFile{base, {
		{typ: reg, name: "etc/.wh.shadow"},
		{typ: reg, name: "bin/through", size: 10}, // implies usr/bin below
		{typ: dir, name: "old/", mode: 0o700},
		{typ: reg, name: "old/.wh..wh..opq"},
		{typ: reg, name: "old/new", size: 5000},
		{typ: hard, name: "etc/again", link: "usr/bin/tool"},
		{typ: reg, name: "many/.wh.7"},
		{typ: reg, name: "implied/deep/file", size: 8},
	}, {
		{typ: dir, name: "./", mode: 0o711, time: time.Unix(1_650_000_000, 123456789)},
		{typ: reg, name: "usr/bin/tool", size: 100, mode: 0o755}, // alias and again keep theirs
		{typ: sym, name: "late", link: "a\\b =\xff"},
		{typ: reg, name: ".wh.tmp"},
		{typ: dir, name: "tmp/", mode: 0o700},
	}}
}

func writeLayer(t *testing.T, path string, files []goldenFile) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for i, e := range files {
		h := &tar.Header{
			Typeflag: e.typ, Name: e.name, Linkname: e.link, Mode: e.mode, Uid: e.uid, Gid: e.uid, ModTime: e.time,
			Format: tar.FormatPAX, PAXRecords: map[string]string{},
		}
		if e.mode == 0 {
			h.Mode = 0o644
		}
		if e.time.IsZero() {
			h.ModTime = time.Unix(1_700_000_000+int64(i), int64(i%3)*100_000_000)
		}
		for name, value := range e.xattrs {
			h.PAXRecords["SCHILY.xattr."+name] = value
		}
		switch e.typ {
		case tar.TypeReg:
			h.Size = int64(e.size)
		case tar.TypeChar:
			h.Devmajor, h.Devminor = 1, 3
		case tar.TypeBlock:
			h.Devmajor, h.Devminor = 259, 1048575
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, repeated(e.name), h.Size); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// repeated reads as the text, over and over.
type repeated string

func (r repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r[i%len(r)]
	}
	return len(p), nil
}

// TestInteropGolden has the kernel look at that image.
func TestInteropGolden(t *testing.T) {
	dir := t.TempDir()
	for i, layer := range goldenLayers() {
		writeLayer(t, filepath.Join(dir, fmt.Sprintf("layer%d.tar", i)), layer)
	}
	want := facts(t, dir, "tar2tree layer?.tar")
	for _, flags := range []string{"", "--block-size 512"} {
		shell(t, dir, "tar2tree layer?.tar | tree2erofs > merged.erofs "+flags)
		if flags == "" {
			shell(t, dir, "fsck.erofs merged.erofs") // many know pages of this machine only
		}
		mounted := reftest.Mount(t, "erofs", filepath.Join(dir, "merged.erofs"), "")
		reftest.Compare(t, want, reftest.Walk(t, mounted, reftest.Look{}))
	}
}
