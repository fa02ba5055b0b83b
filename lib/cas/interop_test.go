package cas

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/platform"
	"ocipipe/lib/reftest"
)

// realImage puts an image of one file that holds text, as p, and lists it.
func realImage(t *testing.T, s *Store, names []string, text string, p *platform.Platform, top, mediaType string) Ref {
	t.Helper()
	var archive, layer bytes.Buffer
	w := tar.NewWriter(&archive)
	w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(text))})
	w.Write([]byte(text))
	w.Close()
	z, _ := gzip.NewWriterLevel(&layer, gzip.NoCompression) // text stays as it is
	z.Write(archive.Bytes())
	z.Close()
	kind := map[bool]string{true: "vnd.docker.image.rootfs.diff.tar.gzip", false: "vnd.oci.image.layer.v1.tar+gzip"}[mediaType == dockerType]
	configKind := map[bool]string{true: "vnd.docker.container.image.v1+json", false: "vnd.oci.image.config.v1+json"}[mediaType == dockerType]
	d := put(t, s, layer.Bytes())
	config := fmt.Appendf(nil, `{"architecture":%q,"os":"linux","variant":%q,"config":{},"rootfs":{"type":"layers","diff_ids":["%s"]},"history":[{"created_by":"test"}]}`, p.Architecture, p.Variant, digest.FromBytes(archive.Bytes()))
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/%s","digest":"%s","size":%d},"layers":[{"mediaType":"application/%s","digest":"%s","size":%d}]}`,
		mediaType, configKind, put(t, s, config), len(config), kind, d, layer.Len())
	r := Ref{MediaType: mediaType, Digest: put(t, s, manifest), Size: int64(len(manifest))}
	if top != "" {
		r.Platform, r.Top = p, digest.FromString(top)
	}
	for _, r.Name = range names {
		if err := s.SetRef(ctx, r, []digest.Digest{digest.FromBytes(config), d}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func interopCache(t *testing.T) *Store {
	s := open(t, filepath.Join(t.TempDir(), "cache"), Options{})
	realImage(t, s, []string{"docker.io/library/one:latest", "localhost:5000/a/b_c:v1.0-rc"}, "one", amd64, "", manifestType)
	realImage(t, s, []string{"docker.io/library/two:latest"}, "two for arm", arm64, "index", manifestType)
	realImage(t, s, []string{"docker.io/library/two:latest"}, "two for amd", amd64, "index", manifestType)
	realImage(t, s, []string{"r.io/docker:1"}, "from docker", amd64, "", dockerType)
	realImage(t, s, []string{"r.io/pinned@" + digest.FromString("").String()}, "pinned", amd64, "", manifestType)
	return s
}

// TestSkopeo makes skopeo read the cache, by each name.
func TestSkopeo(t *testing.T) {
	s := interopCache(t)
	for name, want := range map[string]string{
		"docker.io/library/one:latest":                  "one",
		"localhost:5000/a/b_c:v1.0-rc":                  "one",
		"docker.io/library/two:latest":                  "two for amd", // what was fetched last
		"r.io/pinned@" + digest.FromString("").String(): "pinned",
	} {
		dir := t.TempDir()
		reftest.Run(t, "skopeo", "copy", "oci:"+s.Dir()+":"+name, "dir:"+dir)
		wantLayer(t, dir, want)
	}
	if out, err := reftest.Try(t, "skopeo", "copy", "oci:"+s.Dir()+":docker.io/library/three:latest", "dir:"+t.TempDir()); err == nil {
		t.Errorf("an image that is not there: %s", out)
	}
}

// wantLayer checks that the only layer of an image in skopeo's dir: has a file
// that holds text.
func wantLayer(t *testing.T, dir, text string) {
	t.Helper()
	var m struct {
		Layers []struct{ Digest digest.Digest }
	}
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil || len(m.Layers) != 1 {
		t.Fatalf("manifest %s: %v", data, err)
	}
	layer, err := os.ReadFile(filepath.Join(dir, m.Layers[0].Digest.Encoded()))
	if err != nil || !bytes.Contains(layer, []byte(text+"\x00")) {
		t.Errorf("layer of %d bytes without %q: %v", len(layer), text, err)
	}
}

// TestSkopeoWrites has skopeo put an image into the cache and take one out of it:
// what is ours stays.
func TestSkopeoWrites(t *testing.T) {
	s := interopCache(t)
	before, err := s.Refs("docker.io/library/two:latest")
	if err != nil || len(before) != 2 {
		t.Fatal(before, err)
	}
	reftest.Run(t, "skopeo", "copy", "oci:"+s.Dir()+":docker.io/library/one:latest", "oci:"+s.Dir()+":copied")
	s = open(t, s.Dir(), Options{Verify: true})
	wantRefs(t, s, "docker.io/library/two:latest", before...)
	refs, err := s.Refs("copied")
	if err != nil || len(refs) != 1 {
		t.Fatalf("copied: %v, %v", refs, err)
	}
	r := realImage(t, s, []string{"r.io/more:1"}, "more", amd64, "", manifestType)
	wantRefs(t, s, "copied", refs...)
	r.Name = "r.io/more:1"
	wantRefs(t, s, r.Name, r)
}

// TestCrane has crane push all of the cache to a registry of its own, and read it
// from there.
func TestCrane(t *testing.T) {
	s := interopCache(t)
	host := craneRegistry(t)
	reftest.Run(t, "crane", "push", "--index", s.Dir(), host+"/all:1")
	var index struct{ Manifests []entry }
	if err := json.Unmarshal([]byte(reftest.Run(t, "crane", "manifest", host+"/all:1")), &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 6 {
		t.Errorf("%d manifests", len(index.Manifests))
	}
	var names []string
	for _, m := range index.Manifests {
		names = append(names, m.Annotations[annotationName])
		reftest.Run(t, "crane", "validate", "--remote", host+"/all@"+m.Digest.String())
	}
	if !strings.Contains(strings.Join(names, " "), "docker.io/library/one:latest localhost:5000/a/b_c:v1.0-rc") {
		t.Errorf("names %q", names)
	}
	if got := reftest.Run(t, "crane", "export", host+"/all@"+index.Manifests[2].Digest.String(), "-"); !strings.Contains(got, "two for amd\x00") {
		t.Error("the third image is not what was fetched last")
	}
	// And back: crane adds an image to an existing layout.
	reftest.Run(t, "crane", "pull", "--format=oci", "--annotate-ref", host+"/all@"+index.Manifests[0].Digest.String(), s.Dir())
	if _, list, err := s.readIndex("index.json"); err != nil || len(list) < 6 {
		t.Errorf("%d entries, %v", len(list), err)
	}
	wantClean(t, s.Dir())
}

// craneRegistry serves a registry until t ends, and returns its host.
func craneRegistry(t *testing.T) string {
	cmd := reftest.Command(t, "crane", "registry", "serve", "--address", "127.0.0.1:0")
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	port := regexp.MustCompile(`serving on port (\d+)`)
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); said = append(said, lines.Text()) {
		if m := port.FindStringSubmatch(lines.Text()); m != nil {
			return "127.0.0.1:" + m[1]
		}
	}
	t.Fatalf("crane registry serve: %q", said)
	return ""
}
