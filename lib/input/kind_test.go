package input

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// file is an entry of a tar; a name that ends in a slash is a directory.
type file struct{ name, content string }

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.content)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		must(t, w.WriteHeader(h))
		_, err := io.WriteString(w, f.content)
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sha(b string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(b))) }

// ociFiles are those of a layout with one image of the layers.
func ociFiles(t testing.TB, layers ...[]byte) []file {
	t.Helper()
	var ids []string
	for _, l := range layers {
		ids = append(ids, "sha256:"+sha(string(l)))
	}
	return ociFilesWithIDs(t, ids, layers...)
}

// ociFilesWithIDs is ociFiles with these diff-ids in the configuration.
func ociFilesWithIDs(t testing.TB, ids []string, layers ...[]byte) []file {
	t.Helper()
	type desc map[string]any
	var files []file
	blob := func(mediaType, data string) desc {
		f := file{"blobs/sha256/" + sha(data), data}
		if !slices.Contains(files, f) {
			files = append(files, f)
		}
		return desc{"mediaType": "application/vnd.oci.image." + mediaType, "digest": "sha256:" + sha(data), "size": len(data)}
	}
	marshal := func(v any) string {
		b, err := json.Marshal(v)
		must(t, err)
		return string(b)
	}
	descs := []desc{}
	for _, l := range layers {
		descs = append(descs, blob("layer.v1.tar", string(l)))
	}
	conf := blob("config.v1+json", marshal(desc{"os": "linux", "architecture": "amd64", "rootfs": desc{"type": "layers", "diff_ids": ids}}))
	m := blob("manifest.v1+json", marshal(desc{"schemaVersion": 2, "config": conf, "layers": descs}))
	return append([]file{
		{"oci-layout", `{"imageLayoutVersion":"1.0.0"}`},
		{"index.json", marshal(desc{"schemaVersion": 2, "manifests": []desc{m}})},
	}, files...)
}

// dockerFiles are those of what docker save writes, manifest.json last.
func dockerFiles(t testing.TB, l []byte) []file {
	conf := fmt.Sprintf(`{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:%s"]}}`, sha(string(l)))
	return []file{
		{sha(string(l)) + ".tar", string(l)},
		{sha(conf) + ".json", conf},
		{"manifest.json", fmt.Sprintf(`[{"Config":"%s.json","RepoTags":null,"Layers":["%s.tar"]}]`, sha(conf), sha(string(l)))},
	}
}

// below puts files into dir.
func below(dir string, files []file) []file {
	files = slices.Clone(files)
	for i := range files {
		files[i].name = dir + files[i].name
	}
	return files
}

func dirs(n int) (list []file) {
	for i := range n {
		list = append(list, file{name: fmt.Sprintf("./d%d/", i)})
	}
	return list
}

func pack(t testing.TB, how string, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch how {
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "zstd":
		w, _ = zstd.NewWriter(&buf)
	default:
		return data
	}
	_, err := w.Write(data)
	must(t, err)
	must(t, w.Close())
	return buf.Bytes()
}

// given is data as standard input: a file, or a pipe that brings a few bytes at a time.
func given(t testing.TB, data []byte, piped bool) func(string) (io.ReadCloser, error) {
	t.Helper()
	if !piped {
		path := filepath.Join(t.TempDir(), "in")
		must(t, os.WriteFile(path, data, 0o666))
		return func(string) (io.ReadCloser, error) { return os.Open(path) }
	}
	r, w, err := os.Pipe()
	must(t, err)
	go func() {
		defer w.Close()
		for _, b := range [][]byte{data[:min(1, len(data))], data[min(1, len(data)):min(700, len(data))], data[min(700, len(data)):]} {
			w.Write(b)
		}
	}()
	return func(string) (io.ReadCloser, error) { return r, nil }
}

// names lists the tree that in holds, and says whether it is an image.
func names(t testing.TB, paths []string, opts Options) (list string, isImage bool, err error) {
	t.Helper()
	set, err := Open(context.Background(), paths, opts)
	if err != nil {
		return "", false, err
	}
	load := layer.LoadOptions{SpoolDir: t.TempDir(), Limits: tree.Limits{Entries: 1 << 20, Depth: 255}}
	isImage = set.Image != nil
	var src tree.Source
	if isImage || len(paths) > 1 {
		src, _, err = set.Merge(context.Background(), "", load)
	} else {
		src, _, err = set.SingleLayer(context.Background(), "", false, load)
	}
	if err != nil {
		return "", isImage, err
	}
	defer src.Close()
	var all []string
	for {
		e, err := src.Next()
		if err == io.EOF {
			return strings.Join(all, " "), isImage, nil
		}
		if err != nil {
			return "", isImage, err
		}
		all = append(all, e.Path)
	}
}

// TestAuto shows what an input is taken for, from a file and a pipe, compressed
// and not.
func TestAuto(t *testing.T) {
	l := tarOf(t, file{"./", ""}, file{"etc/passwd", "root"})
	oci, docker := ociFiles(t, l), dockerFiles(t, l)
	reversed := slices.Clone(oci)
	slices.Reverse(reversed)
	for _, c := range []struct {
		name    string
		tar     []byte
		isImage bool
	}{
		{"layer", l, false},
		{"OCI archive", tarOf(t, oci...), true},
		{"its index last", tarOf(t, reversed...), true},
		{"of the current directory", tarOf(t, append([]file{{"./", ""}}, below("./", oci)...)...), true},
		{"blobs first", tarOf(t, slices.Concat([]file{{"./", ""}, {"./blobs/", ""}, {"./blobs/sha256/", ""}}, below("./", reversed))...), true},
		{"names from the root", tarOf(t, below("/", oci)...), true},
		{"a thousand directories first", tarOf(t, append(dirs(1000), oci...)...), true},
		{"docker archive", tarOf(t, docker...), true},
		{"docker archive of the current directory", tarOf(t, append([]file{{"./", ""}}, below("./", docker)...)...), true},
		{"layer in which directories come first", tarOf(t, append(dirs(1000), file{"d1/etc/passwd", "root"})...), false},
		{"layer of directories", tarOf(t, dirs(3)...), false},
		{"layer with an archive's names below a directory", tarOf(t, below("x/", oci)...), false},
		{"layer with an archive in it", tarOf(t, file{"image.tar", string(tarOf(t, oci...))}), false},
		{"empty layer", tarOf(t), false},
	} {
		for _, how := range []string{"plain", "gzip", "zstd"} {
			for _, piped := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, piped %v", c.name, how, piped), func(t *testing.T) {
					list, isImage, err := names(t, []string{"-"}, Options{Open: given(t, pack(t, how, c.tar), piped)})
					must(t, err)
					if isImage != c.isImage || isImage && list != ". etc etc/passwd" {
						t.Errorf("image: %v, tree %.200q", isImage, list)
					}
				})
			}
		}
	}
}

// TestUndecided shows which inputs are refused: those whose kind is not clear, and those that
// are not what their first name says.
func TestUndecided(t *testing.T) {
	skippable := bytes.Repeat(append([]byte{0x50, 0x2a, 0x4d, 0x18, 0xf0, 0xff, 0, 0}, make([]byte, 0xfff0)...), 300)
	random := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(random)
	for _, c := range []struct {
		name string
		data []byte
		says string
	}{
		{"nothing but directories for too long", tarOf(t, append(dirs(maxLook/512), file{"index.json", "{}"})...), "only directories"},
		{"nothing but skippable frames for too long", append(skippable, pack(t, "zstd", tarOf(t))...), "no name was found"},
		{"a layer with index.json first", tarOf(t, file{"index.json", "[]"}, file{"etc/passwd", ""}), "index.json: corrupt image"},
		{"a layer with blobs", tarOf(t, file{"blobs/", ""}, file{"blobs/x", ""}), "not an image archive"},
	} {
		for _, piped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, piped %v", c.name, piped), func(t *testing.T) {
				_, _, err := names(t, []string{"-"}, Options{Open: given(t, c.data, piped)})
				if err == nil || !strings.Contains(err.Error(), c.says) || !errors.As(err, new(*UndecidedError)) && !errors.As(err, new(*NotImageError)) {
					t.Fatalf("got %v, want %q and that it may be a layer", err, c.says)
				}
				if _, isImage, err := names(t, []string{"-"}, Options{Kind: Layer, Open: given(t, c.data, piped)}); err != nil || isImage {
					t.Errorf("as a layer: %v", err)
				}
			})
		}
	}
	for name, data := range map[string][]byte{
		"random":            random,
		"gzip of random":    pack(t, "gzip", random),
		"gzip thrice":       pack(t, "gzip", pack(t, "gzip", pack(t, "gzip", tarOf(t, ociFiles(t)...)))),
		"gzip of zeros":     pack(t, "gzip", append(make([]byte, 64<<20), 1)),
		"cut before a name": pack(t, "gzip", tarOf(t, ociFiles(t)...))[:11],
		"nothing":           nil,
	} {
		for _, piped := range []bool{false, true} {
			if list, _, err := names(t, []string{"-"}, Options{Open: given(t, data, piped)}); err == nil {
				t.Errorf("%s: tree %.200q", name, list)
			}
		}
	}
}

// FuzzKind shows that the bytes that were looked at are all read again.
func FuzzKind(f *testing.F) {
	l := tarOf(f, file{"etc/passwd", "root"})
	image := tarOf(f, append(dirs(3), ociFiles(f, l)...)...)
	for _, how := range []string{"plain", "gzip", "zstd"} {
		for data, want := range map[string]Kind{string(l): Layer, string(image): Image} {
			packed := pack(f, how, []byte(data))
			if kind, err := kindOf(f.Context(), bytes.NewReader(packed), nil); kind != want || err != nil {
				f.Fatalf("%s: %v, %v", how, kind, err)
			}
			f.Add(packed)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, werr := kindOf(t.Context(), bytes.NewReader(data), nil)
		seen := &recorder{r: iotest.HalfReader(bytes.NewReader(data))}
		kind, err := kindOf(t.Context(), seen, nil)
		if kind != want || (err == nil) != (werr == nil) {
			t.Errorf("at once %v, %v; in pieces %v, %v", want, werr, kind, err)
		}
		again, err := io.ReadAll(&replayed{buffered: seen.data, err: seen.err, r: seen.r})
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("read %d bytes again of %d: %v", len(again), len(data), err)
		}
	})
}
