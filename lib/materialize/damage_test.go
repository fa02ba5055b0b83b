package materialize

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ocipipe/lib/cas"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/imagecache"
	"ocipipe/lib/layout"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/oci/pull"
)

// TestDamagedExt4 changes a flat ext4 image: it never gets a new record for what it has
// become.
func TestDamagedExt4(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 3)...)
	small := func(o *Options, _ *cas.Options) {
		o.Target, o.Flat = Flat, FlatOptions{Format: Ext4, Size: 4 << 20}
	}
	first := b.mustRun("r:v1", small)
	path := first.Flat.Path
	good, err := os.ReadFile(path)
	must(t, err)
	bit := slices.Clone(good)
	bit[bytes.Index(bit, []byte("of 2"))] ^= 1
	for what, bad := range map[string][]byte{
		"empty": {}, "short": good[:len(good)-1], "half": good[:len(good)/2], "long": append(slices.Clone(good), 0), "one bit": bit, "no record": bit,
	} {
		if what == "no record" {
			must(t, os.Remove(strings.TrimSuffix(path, "ext4")+"json"))
		}
		must(t, os.WriteFile(path, bad, 0o600))
		b.warned = nil
		r, err := b.run(t.Context(), "r:v1", func(o *Options, c *cas.Options) { small(o, c); o.Verify = len(bad) == len(good) })
		must(t, err)
		if len(b.warned) != 1 || !strings.HasPrefix(b.warned[0], path+": ") {
			t.Errorf("%s: warned %q", what, b.warned)
		}
		if now, _ := os.ReadFile(path); !bytes.Equal(now, good) || r.Flat.Digest != first.Flat.Digest || !r.Flat.Built {
			t.Errorf("%s: not mended: %s", what, r.JSON())
		}
		if !b.mustRun("r:v1", small).Hit {
			t.Errorf("%s: no hit afterwards", what)
		}
	}
}

// TestWrongRecord has a record with another digest, of the right form. It does not outlive a
// run that verifies.
func TestWrongRecord(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 3)...)
	first := b.mustRun("r:v1", nil)
	for _, img := range []*Image{first.Fsmeta, first.Flat} {
		path := strings.TrimSuffix(img.Path, "erofs") + "json"
		good, err := os.ReadFile(path)
		must(t, err)
		hex := img.Digest.Encoded()
		must(t, os.WriteFile(path, bytes.ReplaceAll(good, []byte(hex), []byte(strings.Repeat("5", len(hex)))), 0o600))
		b.warned = nil
		_, err = b.run(t.Context(), "r:v1", func(o *Options, c *cas.Options) { o.Verify = true })
		must(t, err)
		if len(b.warned) != 1 || !strings.HasPrefix(b.warned[0], img.Path+": ") {
			t.Errorf("warned %q", b.warned)
		}
		if now, _ := os.ReadFile(path); !bytes.Equal(now, good) {
			t.Errorf("the record is %s", now)
		}
		b.mustRun("r:v1", func(o *Options, c *cas.Options) { o.Verify = true })
	}
}

// TestDamagedPlainBlob changes a file in a layer that is not compressed. The layer is in the
// cache, where blobs are not hashed when they are read; the diff-id finds the change.
func TestDamagedPlainBlob(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 3)...)
	first := b.mustRun("r:v1", nil)
	l := first.Layers[1]
	if l.Digest != l.DiffID {
		t.Fatal("the layer is compressed")
	}
	want := contents(t, first)
	path := filepath.Join(b.dir, layout.BlobName(l.Digest))
	bad, err := os.ReadFile(path)
	must(t, err)
	bad[bytes.Index(bad, []byte("of 1"))] ^= 1
	must(t, os.WriteFile(path, bad, 0o600))
	must(t, os.Remove(l.Path))
	b.warned = nil
	r, err := b.run(t.Context(), "r:v1", nil)
	must(t, err)
	if len(b.warned) != 1 || !strings.Contains(b.warned[0], l.Digest.String()) {
		t.Errorf("warned %q", b.warned)
	}
	if !maps.Equal(contents(t, r), want) {
		t.Error("other artifacts")
	}
}

// inTheWay are things that nobody expects in place of a file.
var inTheWay = map[string]func(path string) error{
	"FIFO":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
	"directory": func(p string) error { return os.Mkdir(p, 0o700) },
	"link":      func(p string) error { return os.Symlink("/etc/passwd", p) },
	"dead link": func(p string) error { return os.Symlink("absent", p) },
	"wrong JSON": func(p string) error {
		return os.WriteFile(p, []byte(`{"manifests":[5,{"digest":"../x"}],"x":{`), 0o600)
	},
}

// TestInTheWay puts something else in place of each file of a cache, the temporary ones and
// the locks too. Files that matter are named in a warning and made again, and nothing waits.
func TestInTheWay(t *testing.T) {
	b := newBench(t)
	img := b.AddImage("r", "v1", stack(t, 3)...)
	first := b.mustRun("r:v1", nil)
	want := contents(t, first)
	blob := func(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }
	var files []string // those that are named
	for name := range want {
		files = append(files, name)
	}
	for _, name := range files {
		if base, isImage := strings.CutSuffix(name, ".erofs"); isImage && !strings.HasPrefix(name, "layers") {
			files = append(files, base+".json")
		}
	}
	files = append(files, "index.json", blob(first.Manifest.Digest.String()), blob(first.Config.Digest.String()), blob(img.Layers[1]))
	named := len(files)
	files = append(files, "tmp/index.json", "tmp/layers_1_sha256_"+first.Layers[1].DiffID.Encoded()+".erofs", "tmp/sha256-"+first.Layers[1].Digest.Encoded()+".part")
	for i, name := range files {
		for kind, put := range inTheWay {
			path := filepath.Join(b.dir, name)
			if i >= named || strings.HasPrefix(name, "blobs") { // make it necessary
				must(t, os.RemoveAll(first.Layers[1].Path))
				must(t, os.RemoveAll(filepath.Join(b.dir, "index.json")))
				must(t, os.RemoveAll(filepath.Join(b.dir, blob(img.Layers[1]))))
			}
			must(t, os.RemoveAll(path))
			must(t, put(path))
			b.warned = nil
			ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, fmt.Errorf("it hangs"))
			r, err := b.run(ctx, "r:v1", nil)
			cancel()
			if err != nil {
				t.Errorf("%s as %s: %v", kind, name, err)
				must(t, os.RemoveAll(path))
				continue
			}
			says := strings.Join(b.warned, "\n")
			isNamed := strings.Contains(says, name) || strings.Contains(says, strings.Replace(strings.TrimPrefix(name, "blobs/"), "/", ":", 1))
			if i < named && !isNamed && kind != "dead link" {
				t.Errorf("%s as %s: warned %q", kind, name, b.warned)
			}
			if !mapsEqual(want, contents(t, r)) {
				t.Errorf("%s as %s: other bytes", kind, name)
			}
			if info, err := os.Lstat(path); i < named && (err != nil || !info.Mode().IsRegular()) {
				t.Errorf("%s as %s: not mended: %v", kind, name, err)
			}
			if !b.mustRun("r:v1", nil).Hit {
				t.Errorf("%s as %s: no hit afterwards", kind, name)
			}
		}
	}
}

// TestNoRecord shows that a cache that cannot be written serves an image whose record is
// missing.
func TestNoRecord(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 3)...)
	first := b.mustRun("r:v1", nil)
	must(t, os.Remove(strings.TrimSuffix(first.Flat.Path, "erofs")+"json"))
	for _, dir := range []string{"locks", "tmp"} { // neither locks nor temporary files can be made
		must(t, os.RemoveAll(filepath.Join(b.dir, dir)))
		must(t, os.WriteFile(filepath.Join(b.dir, dir), nil, 0o600))
	}
	r := b.mustRun("r:v1", func(o *Options, _ *cas.Options) { o.Pull.Policy = pull.Never })
	if !r.Hit || r.Flat.Digest != first.Flat.Digest {
		t.Errorf("%s", r.JSON())
	}
}

// TestNoLayers shows what each target makes of an image without layers, and of layers
// without files.
func TestNoLayers(t *testing.T) {
	b := newBench(t)
	p := ocitest.NewPack()
	p.Index(ocitest.Named(p.Image(t, ocitest.Image{Platform: ocitest.AMD64}), "x"))
	ref := "oci:" + p.Dir(t) + ":x"
	for _, target := range []Target{Layers, Fsmeta, VMDK, Flat, All} {
		upper := filepath.Join(t.TempDir(), "upper")
		change := func(o *Options, _ *cas.Options) { o.Target, o.Upper = target, &Upper{upper, 64 << 20} }
		r := b.mustRun(ref, change)
		for _, img := range []*Image{r.Fsmeta, r.Flat} {
			if img == nil {
				continue
			}
			f, err := os.Open(img.Path)
			must(t, err)
			root, err := erofsread.Open(f, img.Size)
			must(t, err)
			src := root.Source()
			if e, err := src.Next(); err != nil || e.Path != "." {
				t.Errorf("%s: %v, %v", target, e, err)
			}
			if e, err := src.Next(); err != io.EOF {
				t.Errorf("%s: %v, %v", target, e, err)
			}
			src.Close()
			f.Close()
		}
		if r.VMDK != nil && r.VMDK.DiskSize < r.Fsmeta.Size || len(r.Layers) != 0 {
			t.Errorf("%s: %s", target, r.JSON())
		}
		if !b.mustRun(ref, change).Hit {
			t.Errorf("%s: no hit", target)
		}
	}
	store, err := cas.Open(t.Context(), b.dir, cas.Options{})
	must(t, err)
	list, err := imagecache.List(t.Context(), store)
	must(t, err)
	if held := list.Images[0].Artifacts; len(held) != 5 { // fsmeta, flat image, their records, and the descriptor
		t.Errorf("it holds %v", held)
	}
	if v, err := imagecache.Verify(t.Context(), store, imagecache.VerifyOptions{}); err != nil || len(v.Faults) > 0 {
		t.Errorf("%+v, %v", v.Faults, err)
	}
	empty := make([]byte, 1024)
	b.AddImage("r", "one", empty)
	b.AddImage("r", "some", empty, empty, stack(t, 1)[0], empty)
	for _, ref := range []string{"r:one", "r:some"} {
		r := b.mustRun(ref, nil)
		if !r.Fsmeta.Built || !b.mustRun(ref, nil).Hit {
			t.Errorf("%s", r.JSON())
		}
	}
}
