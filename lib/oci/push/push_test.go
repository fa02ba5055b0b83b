package push

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/oci/registry"
	"ocipipe/lib/platform"
	"ocipipe/lib/reftest"
	fake "ocipipe/lib/reftest/registry"
)

var ctx = context.Background()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, b fake.Behaviour) *fake.Server {
	t.Helper()
	b.Push = true
	s, err := fake.Start(fake.Config{})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	s.Behave(b)
	return s
}

// push pushes what from names, and returns the events by kind.
func push(from string, o oci.Options, ref string, opts Options) (Result, map[EventKind][]Event, error) {
	b, err := oci.OpenBundle(ctx, from, o)
	if err != nil {
		return Result{}, nil, err
	}
	defer b.Close()
	var mu sync.Mutex
	events := map[EventKind][]Event{}
	opts.Progress = func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events[e.Kind] = append(events[e.Kind], e)
	}
	if opts.Registry.Retries == 0 {
		opts.Registry.Retries = -1
	}
	opts.Registry.Timeout = 5 * time.Second
	r, err := Push(ctx, b, ref, opts)
	return r, events, err
}

// platforms makes a layout, tag v1, whose index has images for two platforms in an index, and
// an attestation.
func platforms(t *testing.T) (p *ocitest.Pack, index manifest.Descriptor, images []manifest.Descriptor) {
	t.Helper()
	p = ocitest.NewPack()
	for _, arch := range []string{"amd64", "arm64"} {
		img := ocitest.Simple(t)
		img.Platform.Architecture = arch
		img.Layers = append(slices.Clone(img.Layers), ocitest.Layer(t, "arch", arch))
		d := p.Image(t, img)
		platform := img.Platform
		d.Platform = &platform
		images = append(images, d)
	}
	conf := p.Blob(digest.SHA256, "application/vnd.oci.empty.v1+json", []byte("{}"))
	proof := p.JSON(types.OCIManifestSchema1, manifest.Document{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: &conf,
		Layers: []manifest.Descriptor{p.Blob(digest.SHA256, "application/vnd.in-toto+json", []byte(`{"of":"amd64"}`))}})
	proof.Platform = &platform.Platform{OS: "unknown", Architecture: "unknown"}
	proof.Annotations = map[string]string{manifest.DockerReference: "attestation-manifest"}
	list := append(slices.Clone(images), proof)
	index = p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: list})
	p.Index(ocitest.Named(index, "v1"))
	return p, index, images
}

// complete checks that the repository has all that the document lists, byte for byte.
func complete(t *testing.T, s *fake.Server, repo, d string) {
	t.Helper()
	data := s.Content(repo, d)
	if data == nil || digest.FromBytes(data).String() != d {
		t.Errorf("%s: not there", d)
		return
	}
	var doc manifest.Document
	must(t, json.Unmarshal(data, &doc))
	for _, m := range doc.Manifests {
		complete(t, s, repo, m.Digest.String())
	}
	if doc.Config != nil {
		for _, b := range append(doc.Layers, *doc.Config) {
			if data := s.Content(repo, b.Digest.String()); int64(len(data)) != b.Size || digest.FromBytes(data) != b.Digest {
				t.Errorf("%s: not there, or another", b.Digest)
			}
		}
	}
}

// TestPush: the same image from a directory, a file, a pipe, and by docker save.
func TestPush(t *testing.T) {
	p := ocitest.NewPack()
	d := p.Image(t, ocitest.Simple(t))
	p.Index(ocitest.Named(d, "v1"))
	file := filepath.Join(t.TempDir(), "image.tar")
	must(t, os.WriteFile(file, p.Tar(t), 0o666))
	pipe := oci.Options{OpenFile: func(string) (io.ReadCloser, error) { return ocitest.Pipe(p.Tar(t), io.EOF), nil }}
	before := reftest.RunningNow(t)
	for _, c := range []struct {
		from string
		o    oci.Options
	}{{"oci:" + p.Dir(t), oci.Options{}}, {"oci-archive:" + file, oci.Options{}}, {"oci-archive:-", pipe}, {"oci:" + p.Dir(t) + "@" + d.Digest.String(), oci.Options{}}} {
		s := start(t, fake.Behaviour{})
		r, events, err := push(c.from, c.o, s.Host+"/a/b:v2", Options{Tags: []string{"v3", "v2", "latest"}})
		if err != nil || r.Digest != d.Digest || r.String() != s.Host+"/a/b@"+d.Digest.String() || !slices.Equal(r.Tags, []string{"v2", "v3", "latest"}) {
			t.Errorf("%s: %v, %v", c.from, r, err)
		}
		for _, tag := range r.Tags {
			complete(t, s, "a/b", s.Tagged("a/b", tag))
		}
		if len(events[EventDone]) != 3 || len(events[EventQueued]) != 3 { // two of the layers are the same
			t.Errorf("%s: events %v", c.from, events)
		}
		s.Reset()
		_, events, err = push(c.from, c.o, s.Host+"/a/b:v2", Options{})
		if err != nil || s.Stats().Received != 0 || len(events[EventThere]) != 3 {
			t.Errorf("%s: pushed again: %v, %d bytes", c.from, err, s.Stats().Received)
		}
		s.Close()
	}
	before.Left(t)
}

func TestPushDockerSave(t *testing.T) {
	img := ocitest.Simple(t)
	file := filepath.Join(t.TempDir(), "save.tar")
	must(t, os.WriteFile(file, ocitest.NewPack().DockerSave(t, img, "x:v1").Tar(t), 0o666))
	s := start(t, fake.Behaviour{})
	r, _, err := push("docker-archive:"+file, oci.Options{}, s.Host+"/a", Options{})
	must(t, err)
	if s.Tagged("a", "latest") != r.Digest.String() {
		t.Error("no tag")
	}
	complete(t, s, "a", r.Digest.String())
}

func TestPushIndex(t *testing.T) {
	p, index, images := platforms(t)
	from := "oci:" + p.Dir(t)
	s := start(t, fake.Behaviour{})
	r, events, err := push(from, oci.Options{}, s.Host+"/a:v1", Options{})
	if err != nil || r.Digest != index.Digest {
		t.Fatal(r, err)
	}
	complete(t, s, "a", r.Digest.String())
	if !slices.ContainsFunc(events[EventDone], func(e Event) bool { return e.Platform == "linux/arm64" && e.Layer >= 0 }) {
		t.Errorf("events %v", events[EventDone])
	}
	r, _, err = push(from, oci.Options{Platform: "linux/arm64"}, s.Host+"/b:v1", Options{})
	if err != nil || r.Digest != images[1].Digest || s.Content("b", images[0].Digest.String()) != nil {
		t.Error(r, err)
	}
	complete(t, s, "b", r.Digest.String())
}

// TestPushAbsent: an index may list what the registry has, and nothing else that is absent.
func TestPushAbsent(t *testing.T) {
	p, index, images := platforms(t)
	full := "oci:" + p.Dir(t)
	partly := p.Dir(t)
	must(t, os.Remove(filepath.Join(partly, "blobs/sha256", images[1].Digest.Encoded())))
	partly = "oci:" + partly
	s := start(t, fake.Behaviour{})
	var absent *AbsentError
	if _, _, err := push(partly, oci.Options{}, s.Host+"/a:v1", Options{}); !errors.As(err, &absent) || absent.Platform != "linux/arm64" || s.Stats().Received > 0 {
		t.Error(err)
	}
	_, _, err := push(full, oci.Options{Platform: "linux/arm64"}, s.Host+"/a:arm", Options{})
	must(t, err)
	_, _, err = push(partly, oci.Options{}, s.Host+"/a:v1", Options{})
	must(t, err)
	complete(t, s, "a", index.Digest.String())

	p.Index(ocitest.Named(p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, MediaType: types.OCIImageIndex,
		Manifests: slices.Repeat(images[1:], 200)}), "v1"))
	many := p.Dir(t)
	must(t, os.Remove(filepath.Join(many, "blobs/sha256", images[1].Digest.Encoded())))
	s.Reset()
	_, _, err = push("oci:"+many, oci.Options{}, s.Host+"/a:v1", Options{})
	must(t, err)
	if n := s.Stats().Requests["HEAD /v2/a/manifests/"+images[1].Digest.String()]; n != 1 {
		t.Errorf("asked %d times for what the index lists many times", n)
	}
}

// TestPushOrder: tags come after all else, and an error leaves those after it alone.
func TestPushOrder(t *testing.T) {
	p, index, _ := platforms(t)
	from := "oci:" + p.Dir(t)
	s := start(t, fake.Behaviour{})
	var mu sync.Mutex
	var order []string
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == "PUT" {
			order = append(order, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		}
		if strings.HasSuffix(r.URL.Path, "/manifests/bad") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	r, _, err := push(from, oci.Options{}, s.Host+"/a:v1", Options{Tags: []string{"bad", "v2"}})
	if err == nil || !strings.Contains(err.Error(), "tag bad: ") || !slices.Equal(r.Tags, []string{"v1"}) || s.Tagged("a", "v2") != "" {
		t.Error(r, err)
	}
	complete(t, s, "a", s.Tagged("a", "v1"))
	n := len(order)
	if n < 5 || !slices.Equal(order[n-3:], []string{index.Digest.String(), "v1", "bad"}) {
		t.Errorf("order %v", order)
	}
}

// TestPushFailures: whatever request fails for good, no tag is set.
func TestPushFailures(t *testing.T) {
	p, _, _ := platforms(t)
	from := "oci:" + p.Dir(t)
	for _, code := range []int{400, 401, 403, 404, 405, 409, 413, 416, 429, 500, 507} {
		for _, match := range []string{"HEAD registry /v2/a/blobs", "POST registry", "PUT registry /v2/a/blobs", "HEAD registry /v2/a/manifests", "PUT registry /v2/a/manifests/sha256", "PUT registry /v2/a/manifests/v1"} {
			for _, skip := range []int{0, 2} {
				s := start(t, fake.Behaviour{Rules: []fake.Rule{{Match: match, Skip: skip, Status: code}}})
				_, _, err := push(from, oci.Options{}, s.Host+"/a:v1", Options{})
				if tag := s.Tagged("a", "v1"); tag != "" {
					complete(t, s, "a", tag)
				} else if err == nil {
					t.Errorf("%d at %s: no tag, and no error", code, match)
				}
				if err != nil && registry.Temporary(err) != (code == 429 || code == 500) {
					t.Errorf("%d at %s: temporary: %v", code, match, err)
				}
				s.Close()
			}
		}
	}
}

// TestPushCut: an archive that is cut short, or wrong, sets no tag.
func TestPushCut(t *testing.T) {
	p := ocitest.NewPack()
	d := p.Image(t, ocitest.Simple(t))
	p.Index(ocitest.Named(d, "v1"))
	data := p.Streamed().Tar(t)
	for cut := 0; cut < len(data); cut += 700 {
		s := start(t, fake.Behaviour{})
		pipe := oci.Options{OpenFile: func(string) (io.ReadCloser, error) { return ocitest.Pipe(data[:cut], io.EOF), nil }}
		if _, _, err := push("oci-archive:-", pipe, s.Host+"/a:v1", Options{}); err == nil || s.Tagged("a", "v1") != "" {
			t.Errorf("cut at %d: %v", cut, err)
		}
		s.Close()
	}
	var doc manifest.Document
	must(t, json.Unmarshal(p.Files["blobs/sha256/"+d.Digest.Encoded()], &doc))
	layer := doc.Layers[1].Digest
	wrong := bytes.Clone(p.Files["blobs/sha256/"+layer.Encoded()])
	wrong[len(wrong)/2] ^= 1
	p.Add("blobs/sha256/"+layer.Encoded(), wrong)
	s := start(t, fake.Behaviour{})
	if _, _, err := push("oci:"+p.Dir(t), oci.Options{}, s.Host+"/a:v1", Options{}); !errors.Is(err, oci.ErrCorrupt) || !strings.Contains(err.Error(), "layer 1: ") || s.Tagged("a", "v1") != "" {
		t.Error(err)
	}
}

// TestPushMounts: by flag, and from the image that annotations and labels name.
func TestPushMounts(t *testing.T) {
	s := start(t, fake.Behaviour{Auth: "bearer"})
	img := ocitest.Simple(t)
	p := ocitest.NewPack()
	d := p.Image(t, img)
	p.Index(ocitest.Named(d, "v1"))
	_, _, err := push("oci:"+p.Dir(t), oci.Options{}, s.Host+"/base/image:v1", Options{})
	must(t, err)

	data := p.Files["blobs/sha256/"+d.Digest.Encoded()]
	var fields map[string]any
	must(t, json.Unmarshal(data, &fields))
	fields["annotations"] = map[string]string{manifest.BaseName: s.Host + "/base/image:v1"}
	child := ocitest.NewPack()
	for name, data := range p.Files {
		child.Add(name, data)
	}
	annotated := child.JSON(d.MediaType, fields)
	child.Index(ocitest.Named(annotated, "v1"))
	for i, c := range []struct {
		pack *ocitest.Pack
		opts Options
		want int
	}{{p, Options{}, 0}, {child, Options{}, 3}, {p, Options{MountFrom: []string{s.Host + "/base/image"}}, 3}, {p, Options{MountFrom: []string{"other.example/base/image"}}, 0}} {
		s.Reset()
		_, events, err := push("oci:"+c.pack.Dir(t), oci.Options{}, fmt.Sprintf("%s/to%d:v1", s.Host, i), c.opts)
		if err != nil || len(events[EventMounted]) != c.want || (s.Stats().Received == 0) != (c.want > 0) {
			t.Errorf("%d: %v, %d mounted, %d bytes sent", i, err, len(events[EventMounted]), s.Stats().Received)
		}
	}

	// An image that knows the digest of a blob, and does not have it, does not get it.
	layer := fields["layers"].([]any)[0].(map[string]any)["digest"].(string)
	name := "blobs/sha256/" + strings.TrimPrefix(layer, "sha256:")
	for i, spoil := range []func(){
		func() { delete(child.Files, name) },
		func() { child.Files[name] = make([]byte, len(child.Files[name])) },
	} {
		kept := child.Files[name]
		spoil()
		to := fmt.Sprintf("spoiled%d", i)
		_, events, err := push("oci:"+child.Dir(t), oci.Options{}, s.Host+"/"+to+":v1", Options{})
		child.Files[name] = kept
		if err == nil || s.Content(to, layer) != nil {
			t.Errorf("spoiled in way %d: %v, %d mounted", i, err, len(events[EventMounted]))
		}
	}
}

func TestPushForeign(t *testing.T) {
	p := ocitest.NewPack()
	d := p.Image(t, ocitest.Simple(t))
	var doc map[string]any
	must(t, json.Unmarshal(p.Files["blobs/sha256/"+d.Digest.Encoded()], &doc))
	layer := doc["layers"].([]any)[1].(map[string]any)
	layer["mediaType"], layer["urls"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", []string{"https://elsewhere.example/x"}
	foreign := layer["digest"].(string)
	p.Index(ocitest.Named(p.JSON(d.MediaType, doc), "v1"))
	from := "oci:" + p.Dir(t)
	s := start(t, fake.Behaviour{})
	for _, allowed := range []bool{false, true} {
		_, events, err := push(from, oci.Options{}, s.Host+"/a:v1", Options{AllowForeign: allowed})
		if err != nil || (len(events[EventForeign]) == 1) == allowed || (s.Content("a", foreign) != nil) != allowed {
			t.Errorf("allowed %v: %v", allowed, err)
		}
	}
}

func TestReferences(t *testing.T) {
	p := ocitest.NewPack()
	d := p.Image(t, ocitest.Simple(t))
	p.Index(ocitest.Named(d, "v1"))
	from, other := "oci:"+p.Dir(t), digest.FromString("other")
	s := start(t, fake.Behaviour{})
	for ref, tags := range map[string][]string{"a": {"latest"}, "b:v1": {"v1"}, "c@" + d.Digest.String(): nil, "d:v1@" + d.Digest.String(): {"v1"}} {
		r, _, err := push(from, oci.Options{}, "docker://"+s.Host+"/"+ref, Options{})
		if err != nil || !slices.Equal(r.Tags, tags) {
			t.Errorf("%s: %v, %v", ref, r, err)
		}
	}
	var wrong *DigestError
	if _, _, err := push(from, oci.Options{}, s.Host+"/e@"+other.String(), Options{}); !errors.As(err, &wrong) || wrong.Has != d.Digest {
		t.Error(err)
	}
	for _, ref := range []string{"", "A:v1", "oci:dir", "./x", "/x", "-", "a@sha256:1", "a:b:c", "http://x/y"} {
		if Check(ref, nil, nil) == nil {
			t.Errorf("%q passes", ref)
		}
	}
	for _, tag := range []string{"", "a/b", "a:b", "a@b", strings.Repeat("x", 129)} {
		if Check("a", []string{tag}, nil) == nil {
			t.Errorf("tag %q passes", tag)
		}
	}
	if err := Check("r", nil, []string{"https://me:secret@localhost/r"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error("of a repository:", err)
	}
	if err := Check("docker://me:secret@localhost/r", nil, nil); err == nil || !strings.Contains(err.Error(), "me:xxxxx@localhost") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a password is shown: %v", err)
	}
	if Check("a", nil, []string{"A"}) == nil || Check("alpine", []string{"v1"}, []string{"registry.example/x"}) != nil {
		t.Error("repositories to mount from")
	}
}
