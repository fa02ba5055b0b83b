package tree2erofs

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/merge"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// memory is an image in memory.
type memory struct{ b []byte }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, off)
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if end := int(off) + len(p); end > len(m.b) {
		m.b = append(m.b, make([]byte, end-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

// makeTar writes headers as a tar, each file with its name as content.
func makeTar(t testing.TB, headers []tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Mode = 0o640
		var content string
		if h.Typeflag == tar.TypeReg {
			content = strings.Repeat(fmt.Sprint(h.Name, h.Uid), h.Uid*37%200) // 0 to some blocks
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// randomLayer is entries over few names, so that those of layers meet. Links are
// mostly to files of this layer or one below, whose names are in used.
func randomLayer(r *rand.Rand, used *[]string) (headers []tar.Header) {
	name := func() string {
		p := string("abc"[r.IntN(3)])
		for r.IntN(2) == 0 && len(p) < 5 {
			p += "/" + string("abc"[r.IntN(3)])
		}
		return p
	}
	for range 1 + r.IntN(8) {
		h := tar.Header{Name: name(), Uid: r.IntN(1000), Typeflag: tar.TypeReg}
		switch r.IntN(16) {
		case 0, 1:
			h.Typeflag = tar.TypeDir
			if r.IntN(8) == 0 {
				h.Name = "."
			}
		case 2, 3:
			h.Typeflag, h.Linkname = tar.TypeSymlink, []string{"a", "/b", "../c", "a/b", ".", "nowhere"}[r.IntN(6)]
		case 4:
			h.Typeflag, h.Linkname = tar.TypeLink, name()
			if n := len(*used); n > 0 && r.IntN(20) > 0 {
				h.Linkname = (*used)[n-1-r.IntN(min(n, 3))]
			}
		case 6:
			i := strings.LastIndexByte(h.Name, '/') + 1
			h.Name = h.Name[:i] + ".wh." + h.Name[i:]
		case 7:
			h.Name += "/.wh..wh..opq"
		case 8:
			h.Typeflag = tar.TypeFifo
		case 9, 10, 11:
			*used = append(*used, h.Name)
		}
		headers = append(headers, h)
	}
	return headers
}

func inputs(tars [][]byte) (list []layer.Input) {
	for i, b := range tars {
		list = append(list, layer.Input{
			Name: fmt.Sprint("layer ", i),
			Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil },
		})
	}
	return list
}

// listing is a stream without contents but with their digests.
func listing(src tree.Source) (string, error) {
	var b bytes.Buffer
	err := tree.Copy(context.Background(), tree.NewWriter(&b, tree.WriterOptions{Data: tree.None, Digest: true}), src)
	return b.String(), err
}

// layerImage makes the image of a layer.
func layerImage(in layer.Input, dir string) (*erofsread.Image, error) {
	loaded, err := layer.Load(context.Background(), in, layer.LoadOptions{SpoolDir: dir})
	if err != nil {
		return nil, err
	}
	m := &memory{}
	w, err := erofs.NewWriter(context.Background(), m, erofs.Options{Layer: true, BlockSize: 512, Check: true})
	if err != nil {
		return nil, err
	}
	src := loaded.Source(tree.Layer)
	defer src.Close()
	if err := tree.Copy(context.Background(), w, src); err != nil {
		return nil, err
	}
	return erofsread.Open(m, int64(len(m.b)))
}

// mergeImages lists what the images of tars come to: merged, and as an fsmeta
// with its devices.
func mergeImages(tars [][]byte, dir string) (merged, fsmeta string, err error) {
	var layers []merge.Layer
	for _, in := range inputs(tars) {
		img, err := layerImage(in, dir)
		if err != nil {
			return "", "", err
		}
		layers = append(layers, merge.Layer{Name: in.Name, Image: img})
	}
	flat, err := merge.Layers(context.Background(), layers, merge.Options{})
	if err != nil {
		return "", "", err
	}
	if merged, err = listing(flat.Source(tree.Flat)); err != nil {
		return "", "", err
	}
	m := &memory{}
	if err := erofs.WriteFsmeta(context.Background(), m, layers, tree.Limits{}, erofs.Options{Check: true}); err != nil {
		return "", "", err
	}
	var devices []erofsread.Device
	for _, l := range layers {
		devices = append(devices, l.Image.Device(l.Name))
	}
	img, err := erofsread.Open(m, int64(len(m.b)), devices...)
	if err != nil {
		return "", "", err
	}
	fsmeta, err = listing(img.Source())
	return merged, fsmeta, err
}

// Layers merged as images are what they are merged as tars.
func TestMergeEqualsTars(t *testing.T) {
	n, failed := 150, 0
	if os.Getenv("SOAK") == "true" {
		n = 20000
	}
	dir := t.TempDir()
	for seed := range n {
		r := rand.New(rand.NewPCG(uint64(seed), 4))
		var used []string
		tars := make([][]byte, 1+r.IntN(4))
		for i := range tars {
			tars[i] = makeTar(t, randomLayer(r, &used))
		}
		loaded, wantErr := layer.Merge(context.Background(), inputs(tars), layer.LoadOptions{SpoolDir: dir})
		merged, fsmeta, err := mergeImages(tars, dir)
		if wantErr != nil || err != nil {
			if failed++; (wantErr != nil) != (err != nil) {
				t.Fatalf("seed %d: tars: %v; images: %v", seed, wantErr, err)
			}
			continue
		}
		want, err := listing(loaded.Source(tree.Flat))
		if err != nil {
			t.Fatal(err)
		}
		loaded.Close()
		if merged != want {
			t.Fatalf("seed %d: merged from tars\n%sfrom images\n%s", seed, want, merged)
		}
		if fsmeta != want {
			t.Fatalf("seed %d: merged from tars\n%sas fsmeta\n%s", seed, want, fsmeta)
		}
	}
	if failed > n/2 {
		t.Errorf("%d of %d stacks are refused", failed, n)
	}
}

// layerFile writes a layer image with the given file.
func layerFile(t *testing.T, name, content string, args ...string) string {
	t.Helper()
	stream := fmt.Sprintf("#mtree ocipipe-tree 1 data=inline\n./%s type=file mode=0644 uid=0 gid=0 time=0.000000000 size=%d\n%s\n#end records=1 bytes=%d\n",
		name, len(content), content, len(content))
	code, out, said := run(t, stream, args...)
	if code != 0 {
		t.Fatal(said)
	}
	path := filepath.Join(t.TempDir(), name+".erofs")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFsmeta(t *testing.T) {
	a, b := layerFile(t, "a", "aa", "--layer"), layerFile(t, "b", "bb", "--layer")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Link(a, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args    []string
		devices uint16
	}{
		{[]string{a, b}, 2},
		{[]string{a, b, link, b}, 2},
		{[]string{"--check", a}, 1},
		{[]string{"--check", "--device-table=yes", "--label=x", "--mtime=5", a, b}, 2},
		{[]string{"--check", "--device-table=no", a, b}, 0},
	} {
		code, out, said := run(t, "", append([]string{"--fsmeta"}, c.args...)...)
		if code != 0 || said != "" || len(out) != 4096 {
			t.Fatalf("%q: code %d, %d bytes: %s", c.args, code, len(out), said)
		}
		if n := uint16(out[1024+86]) | uint16(out[1024+87])<<8; n != c.devices {
			t.Errorf("%q: %d devices", c.args, n)
		}
	}
}

func TestFsmetaFailures(t *testing.T) {
	a, inline, small := layerFile(t, "a", "aa", "--layer"), layerFile(t, "inline", "tail"), layerFile(t, "small", "x", "--layer", "--block-size=512")
	for _, c := range []struct {
		args []string
		code int
		said string
	}{
		{[]string{"--fsmeta"}, 2, "needs the images"},
		{[]string{"--fsmeta", "-"}, 2, "standard input"},
		{[]string{"--fsmeta", "--layer", a}, 2, "--layer"},
		{[]string{"--fsmeta", "--block-size=4096", a}, 2, "--block-size"},
		{[]string{"--fsmeta", "--require-crc", a}, 2, "--require-crc"},
		{[]string{"--fsmeta", "--label=0123456789abcdef", a}, 2, "15 bytes"},
		{[]string{"--fsmeta", "--device-table=maybe", a}, 2, "--device-table"},
		{[]string{"--device-table=no"}, 2, "--fsmeta"},
		{[]string{a, a}, 2, "--fsmeta"},
		{[]string{"--fsmeta", a, a + ".none"}, 1, "no such file"},
		{[]string{"--fsmeta", a, inline}, 1, "inline.erofs: inline: no other image can refer to it: its end follows its inode, and is not in a block of its own\ntree2erofs: hint: make the layer with tree2erofs --layer"},
		{[]string{"--fsmeta", a, small}, 1, "small.erofs: layer images do not fit: blocks of 512 bytes"},
		{[]string{"--fsmeta", "/dev/null"}, 1, "/dev/null: "},
		{[]string{"--fsmeta", "--max-file-size=1", a}, 1, "--max-file-size"},
		{[]string{"--fsmeta", "-o", a, a}, 2, "input and output"},
	} {
		code, out, said := run(t, "", c.args...)
		if code != c.code || !strings.Contains(said, c.said) || !strings.HasPrefix(said, "tree2erofs: ") || len(out) > 0 {
			t.Errorf("%q: code %d, %d bytes: %s", c.args, code, len(out), said)
		}
	}
}
