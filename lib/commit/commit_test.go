package commit_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/commit"
	"ocipipe/lib/compression"
	"ocipipe/lib/layer"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/platform"
	"ocipipe/lib/tree"
)

var ctx = context.Background()

// oneFile is the tar of a layer with one file.
func oneFile(t testing.TB, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))})
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func take(t testing.TB, data []byte, kind compression.Kind) *commit.Layer {
	t.Helper()
	l, err := commit.Take(ctx, bytes.NewReader(data), commit.TakeOptions{Compression: kind, TmpDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestTake(t *testing.T) {
	plain := append(oneFile(t, "a", "text"), make([]byte, 5000)...) // padding counts
	packed := gzipped(t, plain)
	for _, c := range []struct {
		in   []byte
		kind compression.Kind
		blob []byte // nil: compressed by Take
	}{
		{plain, "", plain}, {plain, compression.Plain, plain}, {packed, "", packed}, {packed, compression.Gzip, packed},
		{packed, compression.Plain, plain}, {packed, compression.Zstd, nil}, {plain, compression.Gzip, nil},
	} {
		l := take(t, c.in, c.kind)
		if l.DiffID != digest.FromBytes(plain) {
			t.Errorf("%s: diff-id %s", c.kind, l.DiffID)
		}
		if c.blob != nil && (l.Digest != digest.FromBytes(c.blob) || l.Size != int64(len(c.blob))) {
			t.Errorf("%s: %s, %d bytes", c.kind, l.Digest, l.Size)
		}
		if c.kind != "" && l.Compression != c.kind {
			t.Errorf("%s: got %s", c.kind, l.Compression)
		}
		if again := take(t, c.in, c.kind); again.Digest != l.Digest {
			t.Errorf("%s: other bytes the second time", c.kind)
		}
	}
}

// TestTakeSilent: an error does not wait for a writer that says nothing more, after more bytes
// than are read ahead at a time.
func TestTakeSilent(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	go w.Write(append(oneFile(t, "a", "1")[:1024], bytes.Repeat([]byte("x"), 600_000)...))
	failed := make(chan error, 1)
	go func() {
		_, err := commit.Take(ctx, r, commit.TakeOptions{Compression: compression.Zstd})
		failed <- err
	}()
	select {
	case err := <-failed:
		if !errors.Is(err, layer.ErrCorrupt) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits")
	}
}

func TestTakeRefuses(t *testing.T) {
	plain := oneFile(t, "a", "text")
	packed := gzipped(t, plain)
	cut := (*layer.EndError)(nil)
	for _, c := range []struct {
		name string
		in   []byte
		is   func(error) bool
	}{
		{"empty", nil, func(err error) bool { return errors.As(err, &cut) }},
		{"cut", plain[:600], func(err error) bool { return errors.As(err, &cut) }},
		{"without its end", plain[:1024], func(err error) bool { return errors.As(err, &cut) && cut.Unterminated }},
		{"cut gzip", packed[:len(packed)-3], func(err error) bool { return errors.As(err, &cut) }},
		{"twice", gzipped(t, packed), func(err error) bool { return errors.Is(err, commit.ErrTwice) }},
		{"garbage", bytes.Repeat([]byte("x"), 5000), func(err error) bool { return errors.Is(err, layer.ErrCorrupt) }},
		{"garbage in gzip", gzipped(t, bytes.Repeat([]byte("x"), 5000)), func(err error) bool { return errors.Is(err, layer.ErrCorrupt) }},
		{"parent", oneFile(t, "../a", ""), func(err error) bool { return errors.Is(err, layer.ErrCorrupt) }},
		{"xz", []byte("\xfd7zXZ\x00\x00\x04xxxx"), func(err error) bool { return errors.As(err, new(*compression.Error)) }},
	} {
		for _, kind := range []compression.Kind{"", compression.Plain, compression.Gzip, compression.Zstd} {
			dir := t.TempDir()
			l, err := commit.Take(ctx, bytes.NewReader(c.in), commit.TakeOptions{Compression: kind, TmpDir: dir})
			if err == nil {
				l.Close()
			}
			if err == nil || !c.is(err) {
				t.Errorf("%s, to %q: %v", c.name, kind, err)
			}
		}
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := commit.Take(stopped, bytes.NewReader(plain), commit.TakeOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	limits := commit.TakeOptions{Limits: tree.Limits{FileSize: 3}}
	if _, err := commit.Take(ctx, bytes.NewReader(plain), limits); err == nil {
		t.Error("a limit is not kept")
	}
}

// base returns an image with the layers data and the configuration conf, whose rootfs it
// fills in.
func base(t testing.TB, conf map[string]any, data ...[]byte) *oci.Image {
	t.Helper()
	p := ocitest.NewPack()
	ids, layers := []digest.Digest{}, []manifest.Descriptor{}
	for _, d := range data {
		ids = append(ids, digest.FromBytes(d))
		layers = append(layers, p.Blob(digest.SHA256, types.OCIUncompressedLayer, d))
	}
	conf["rootfs"] = map[string]any{"type": "layers", "diff_ids": ids}
	c := p.JSON(types.OCIConfigJSON, conf)
	m := p.JSON(types.OCIManifestSchema1, map[string]any{"schemaVersion": 2, "config": c, "layers": layers, "annotations": map[string]string{"kept": "1", manifest.BaseName: "x"}})
	m.MediaType = types.OCIManifestSchema1
	img, err := oci.Open(ctx, "oci:"+p.Index(m).Dir(t), oci.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

func linux() map[string]any { return map[string]any{"os": "linux", "architecture": "amd64"} }

// 500 layers in the base, added ones that are among them, and the same one twice.
func TestManyLayers(t *testing.T) {
	var data [][]byte
	for i := range 500 {
		data = append(data, oneFile(t, "f"+strings.Repeat("x", i%200), string(rune('a'+i%7))))
	}
	b := base(t, linux(), data...)
	same := take(t, data[3], "")
	img, err := commit.Build(ctx, b, []*commit.Layer{same, same}, commit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(img.Layers); n != 502 || img.Layers[501].Digest != b.Layers[3].Digest {
		t.Fatalf("%d layers", n)
	}
	var hist struct {
		History []json.RawMessage `json:"history"`
	}
	if err := json.Unmarshal(img.Config, &hist); err != nil || len(hist.History) != 502 {
		t.Errorf("%d entries in the history, %v", len(hist.History), err)
	}
	for name, write := range map[string]func(w io.Writer) error{
		"oci": func(w io.Writer) error { return oci.WriteArchive(ctx, w, img) },
		"docker": func(w io.Writer) error {
			return oci.WriteDocker(ctx, w, img, []string{"a:b"}, oci.Options{TmpDir: t.TempDir()})
		},
	} {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatal(name, err)
		}
		got, err := oci.OpenArchive(ctx, io.NopCloser(&out), oci.Options{})
		if err != nil {
			t.Fatal(name, err)
		}
		if len(got.Layers) != 502 || !bytes.Equal(got.Config, img.Config) {
			t.Errorf("%s: %d layers", name, len(got.Layers))
		}
		for i := range got.Layers {
			r, err := got.Layers[i].Open(ctx)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				r.Close()
			}
			if err != nil {
				t.Fatal(name, err)
			}
		}
		got.Close()
	}
}

func TestBuild(t *testing.T) {
	if _, err := commit.Build(ctx, nil, nil, commit.Options{}); !errors.Is(err, commit.ErrNoPlatform) {
		t.Errorf("without a platform: %v", err)
	}
	p := platform.Platform{OS: "linux", Architecture: "arm", Variant: "v6", OSVersion: "1", OSFeatures: []string{"f"}}
	empty, err := commit.Build(ctx, nil, nil, commit.Options{Platform: p})
	if err != nil || empty.Platform != "linux/arm/v6" || !strings.Contains(string(empty.Config), `"os.version":"1"`) || !strings.Contains(string(empty.Config), `"os.features":["f"]`) {
		t.Errorf("scratch: %+v, %v", empty, err)
	}
	conf := linux()
	conf["history"] = []map[string]any{{"created_by": "a", "x": 1}, {"empty_layer": true}}
	b := base(t, conf, oneFile(t, "a", "1"), oneFile(t, "b", "2"))
	img, err := commit.Build(ctx, b, []*commit.Layer{take(t, oneFile(t, "c", "3"), compression.Gzip)}, commit.Options{
		BaseName: "docker.io/library/x:1", Annotations: map[string]string{"new": "2"}, CreatedBy: "test", Created: 7,
	})
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(img.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"kept": "1", "new": "2", manifest.BaseName: "docker.io/library/x:1", manifest.BaseDigest: b.Digest.String()}
	if !reflect.DeepEqual(m.Annotations, want) {
		t.Errorf("annotations %v", m.Annotations)
	}
	const history = `"history":[{"created_by":"a","x":1},{"empty_layer":true},{"comment":"layer of the base image"},{"created":"1970-01-01T00:00:07Z","created_by":"test"}]`
	if !strings.Contains(string(img.Config), history) {
		t.Errorf("history: %s", img.Config)
	}
}

// What a configuration has twice, or where something else should be, is an error, never
// another configuration.
func TestOddConfig(t *testing.T) {
	for _, conf := range []map[string]any{
		{"config": 5}, {"config": []int{}}, {"history": map[string]int{}}, {"history": []int{1}}, {"history": []any{map[string]any{"empty_layer": 1}}},
		{"config": map[string]any{"Env": 1}}, {"config": map[string]any{"Env": []string{}, "env": []string{}}}, {"History": nil, "history": nil},
		{"config": map[string]any{"Labels": []int{}}}, {"config": map[string]any{"Volumes": 1}},
	} {
		for k, v := range linux() {
			conf[k] = v
		}
		change := commit.Change{Env: []string{"A=1"}, Labels: map[string]string{"a": "b"}, Volumes: []string{"/v"}}
		if _, err := commit.Build(ctx, base(t, conf), nil, commit.Options{Change: change}); !errors.Is(err, manifest.ErrCorrupt) {
			t.Errorf("%v: %v", conf, err)
		}
	}
	env := linux()
	env["config"] = map[string]any{"env": []string{"A=1", "B=2", "A=3"}, "Cmd": []string{"x"}} // a name in another case is taken over
	changed, err := commit.Build(ctx, base(t, env), nil, commit.Options{Change: commit.Change{Env: []string{"C=4", "A=5"}, Entrypoint: &[]string{"/e"}}})
	if err != nil || !strings.Contains(string(changed.Config), `"config":{"Env":["A=5","B=2","C=4"],"Entrypoint":["/e"]}`) {
		t.Errorf("environment: %v, %s", err, changed.Config)
	}
	null := linux()
	null["config"] = map[string]any{"Env": nil, "Labels": nil, "Volumes": nil}
	change := commit.Change{Env: []string{"A=1"}, Labels: map[string]string{"a": "b"}, Volumes: []string{"/v"}}
	img, err := commit.Build(ctx, base(t, null), nil, commit.Options{Change: change})
	if err != nil || !strings.Contains(string(img.Config), `"config":{"Env":["A=1"],"Labels":{"a":"b"},"Volumes":{"/v":{}}}`) {
		t.Errorf("null: %v, %+v", err, img)
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string][]string{
		``: {}, ` `: {}, `[]`: {}, `["a","b c"]`: {"a", "b c"}, ` ["a"]`: {"a"}, `a  b`: {"a", "b"}, `'a b'c "d\"e\f$" \ `: {"a bc", `d"e\f$`, " "},
		`""`: {""}, `a''`: {"a"}, `$X #y`: {"$X", "#y"}, "a\nb": {"a", "b"}, `'\'`: {`\`},
	} {
		if got, err := commit.Words(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{`'`, `"a`, `"\"`, `\`, `[`, `[1]`, `[null]`, `["a"] b`, `[["a"]]`} {
		if got, err := commit.Words(in); err == nil {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func TestCheck(t *testing.T) {
	nul := "\x00"
	for _, c := range []commit.Change{
		{Env: []string{"A"}}, {Env: []string{"=A"}}, {Env: []string{"A=\x00"}}, {User: &nul}, {Cmd: &[]string{nul}}, {WorkingDir: "a"}, {Volumes: []string{"a"}},
		{Expose: []string{"0"}}, {Expose: []string{"65536"}}, {Expose: []string{"99999/udp"}}, {Expose: []string{"65536/tcp"}}, {Expose: []string{"1/x"}}, {StopSignal: "term"}, {Labels: map[string]string{"": "x"}},
	} {
		if err := c.Check(); err == nil {
			t.Errorf("%+v passes", c)
		}
	}
	for _, c := range []commit.Change{
		{Env: []string{"A=", "A=b=c"}}, {Expose: []string{"1", "65535", "80/tcp", "9/udp", "990/tcp", "8080/udp", "9999/sctp", "65535/tcp"}}, {StopSignal: "9"}, {StopSignal: "SIGRTMIN+3"}, {WorkingDir: "/"},
	} {
		if err := c.Check(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestWriteLayoutFails(t *testing.T) {
	img, err := commit.Build(ctx, base(t, linux(), oneFile(t, "a", "1")), nil, commit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/other", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := commit.WriteLayout(ctx, dir, "x", img, nil); err == nil {
		t.Error("a directory of something else becomes a layout")
	}
}
