package pull

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/platform"
)

// fakeRegistry serves the blobs of p as repository "r", and manifest d as tag "v1".
// before, if it returns true, has answered a request itself.
func fakeRegistry(t *testing.T, p *ocitest.Pack, d manifest.Descriptor, before func(w http.ResponseWriter, r *http.Request) bool) (host string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before != nil && before(w, r) {
			return
		}
		id := filepath.Base(r.URL.Path)
		data, ok := p.Files["blobs/"+strings.Replace(id, ":", "/", 1)]
		switch {
		case r.URL.Path == "/v2/":
		case r.URL.Path == "/v2/r/manifests/v1":
			w.Header().Set("Content-Type", string(d.MediaType))
			w.Write(p.Files[layout.BlobName(d.Digest)])
		case ok:
			w.Write(data)
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest\u001b[31m unknown"}]}`)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func TestRegistry(t *testing.T) {
	for _, docker := range []bool{false, true} {
		ti := ocitest.Simple(t)
		ti.Docker = docker
		p := ocitest.NewPack()
		d := p.Image(t, ti)
		host := fakeRegistry(t, p, d, nil)
		for ref, tag := range map[string]string{"/r:v1": "v1", "/r@" + d.Digest.String(): "", "/r:v9@" + d.Digest.String(): ""} {
			for _, prefix := range []string{"", "docker://"} {
				img, err := Open(ctx, prefix+host+ref, linux)
				must(t, err)
				check(t, ti, img)
				if img.Digest != d.Digest || img.Tag != tag {
					t.Errorf("%s: %s %q", ref, img.Digest, img.Tag)
				}
			}
		}
	}
}

func TestRegistryIndex(t *testing.T) {
	p := ocitest.NewPack()
	ti := ocitest.Simple(t)
	ti.Algorithm = digest.SHA512
	other := ti
	other.Platform = platform.Platform{OS: "linux", Architecture: "arm64"}
	d := p.Image(t, ti)
	p.Index(p.Image(t, other), d)
	top := p.Blob(digest.SHA256, "", p.Files[layout.Index])
	img, err := Open(ctx, fakeRegistry(t, p, top, nil)+"/r:v1", linux)
	must(t, err)
	check(t, ti, img)
	if img.Digest != d.Digest {
		t.Errorf("got %s", img.Platform)
	}
}

// TestRegistryPlatform: an only image that is not for the wanted platform, by itself and
// in an index.
func TestRegistryPlatform(t *testing.T) {
	p := ocitest.NewPack()
	ti := ocitest.Simple(t)
	bare := p.Image(t, ti)
	bare.Platform = nil
	index := p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, Manifests: []manifest.Descriptor{bare}})
	for _, d := range []manifest.Descriptor{bare, index} {
		host, warned := fakeRegistry(t, p, d, nil), 0
		opts := linux
		opts.Image.Platform = "linux/s390x"
		opts.Image.Warn = func(string) { warned++ }
		_, err := Open(ctx, host+"/r:v1", opts)
		if none := (*oci.PlatformError)(nil); !errors.As(err, &none) || !none.Asked || !none.Sole {
			t.Errorf("%s: %v", d.MediaType, err)
		}
		opts.Image.AllowOtherPlatform = true
		img, err := Open(ctx, host+"/r:v1", opts)
		must(t, err)
		check(t, ti, img)
		if warned != 1 {
			t.Errorf("%s: %d warnings", d.MediaType, warned)
		}
	}
}

// TestRegistryStrangers: an index may list entries that are missing or not images.
func TestRegistryStrangers(t *testing.T) {
	p := ocitest.NewPack()
	ti := ocitest.Simple(t)
	bare := p.Image(t, ti)
	bare.Platform = nil
	known, unknown := p.Strangers()
	for _, list := range []map[string]manifest.Descriptor{known, unknown} {
		for name, d := range list {
			t.Run(name, func(t *testing.T) {
				index := p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []manifest.Descriptor{d, bare}})
				img, err := Open(ctx, fakeRegistry(t, p, index, nil)+"/r:v1", linux)
				must(t, err)
				check(t, ti, img)
			})
		}
	}
}

// TestRegistryFailures says which failures are worth a retry, and with what words
// they come.
func TestRegistryFailures(t *testing.T) {
	p := ocitest.NewPack()
	d := p.Image(t, ocitest.Simple(t))
	status := func(path string, code int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, path) {
				return false
			}
			w.WriteHeader(code)
			io.WriteString(w, body)
			return true
		}
	}
	tooMany := `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`
	for _, c := range []struct {
		name, ref string
		before    func(http.ResponseWriter, *http.Request) bool
		retry     bool
		says      string
	}{
		{"not found", "/r:v2", nil, false, "registry: MANIFEST_UNKNOWN: manifest [31m unknown (HTTP 404)"},
		{"denied", "/r:v1", status("/manifests/", 403, `{"errors":[{"code":"DENIED","message":"no"}]}`), false, "registry: DENIED: no (HTTP 403)"},
		{"unauthorized", "/r:v1", status("/manifests/", 401, `{"errors":[{"code":"UNAUTHORIZED","message":"log in"}]}`), false, "UNAUTHORIZED: log in"},
		{"too many", "/r:v1", status("/manifests/", 429, tooMany), true, "TOOMANYREQUESTS: slow down (HTTP 429)"},
		{"down", "/r:v1", status("/v2/", 503, "x"), true, "HTTP 503"},
		{"bad gateway", "/r:v1", status("/manifests/", 502, "<html>"), true, "HTTP 502"},
		{"blob", "/r:v1", status("/blobs/", 500, ""), true, "configuration: registry:"},
		{"teapot", "/r:v1", status("/blobs/", 418, ""), false, "HTTP 418"},
		{"large", "/r:v1", status("/manifests/", 200, strings.Repeat(" ", oci.DefaultMaxMetadata+1)), false, "longer than 16777216 bytes"},
		{"wrong manifest", "/r@" + d.Digest.String(), status("/manifests/", 200, "{}"), false, "expected " + d.Digest.String()},
		{"wrong config", "/r:v1", status("/blobs/", 200, "{}"), false, "configuration: corrupt image"},
		{"not json", "/r:v1", status("/manifests/", 200, "<html>login</html>"), false, "corrupt image: byte 0: not JSON: '<'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(ctx, fakeRegistry(t, p, d, c.before)+c.ref, linux)
			if err == nil || !strings.Contains(err.Error(), c.says) || temporary(err) != c.retry {
				t.Errorf("got %v (retry %v), want %q (retry %v)", err, temporary(err), c.says, c.retry)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%q has control characters", err)
			}
		})
	}
	for name, ref := range map[string]string{"name": "A/b c", "path": "./dir", "absolute": "/dir", "empty": ""} {
		if _, err := Open(ctx, ref, linux); err == nil || temporary(err) || !strings.Contains(err.Error(), "not the name of an image") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, ref := range []string{"me:secret@localhost/r", "https://me:secret@localhost:5000/r:v1", "docker://me:secret@localhost/r"} {
		if _, err := Open(ctx, ref, linux); err == nil || !strings.Contains(err.Error(), "me:xxxxx@localhost") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", ref, err)
		}
	}
	t.Run("nobody listens", func(t *testing.T) {
		s := httptest.NewServer(nil)
		s.Close()
		_, err := Open(ctx, strings.TrimPrefix(s.URL, "http://")+"/r", linux)
		if !temporary(err) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%v", err)
		}
	})
}

// TestRegistryLayerFailures breaks the answer for a layer.
func TestRegistryLayerFailures(t *testing.T) {
	p := ocitest.NewPack()
	d := p.Image(t, ocitest.Simple(t))
	for _, c := range []struct {
		name  string
		serve func(w http.ResponseWriter, data []byte)
		retry bool
		says  string
	}{
		{"cut", func(w http.ResponseWriter, data []byte) {
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			w.Write(data[:20])
		}, true, "layer 0: connection broke off"},
		{"cut, length unknown", func(w http.ResponseWriter, data []byte) { w.Write(data[:20]); w.(http.Flusher).Flush() }, false, "20 bytes"},
		{"flipped", func(w http.ResponseWriter, data []byte) { data[9] ^= 1; w.Write(data) }, false, "does not have its digest"},
		{"longer", func(w http.ResponseWriter, data []byte) { w.Write(append(data, 0)) }, false, "the manifest says"},
		{"gone", func(w http.ResponseWriter, data []byte) { w.WriteHeader(404) }, false, "layer 0: registry:"},
		{"limit", func(w http.ResponseWriter, data []byte) { w.WriteHeader(429) }, true, "layer 0: registry:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := fakeRegistry(t, p, d, func(w http.ResponseWriter, r *http.Request) bool {
				data := p.Files["blobs/"+strings.Replace(filepath.Base(r.URL.Path), ":", "/", 1)]
				if !strings.Contains(r.URL.Path, "/blobs/") || len(data) > 0 && data[0] == '{' {
					return false
				}
				c.serve(w, bytes.Clone(data))
				return true
			})
			img, err := Open(ctx, host+"/r:v1", linux)
			must(t, err)
			_, err = ocitest.Content(img.Layers[0].Open)
			if err == nil || !strings.Contains(err.Error(), c.says) || temporary(err) != c.retry {
				t.Errorf("got %v (retry %v), want %q (retry %v)", err, temporary(err), c.says, c.retry)
			}
		})
	}
}

// TestRegistryRedirect sees that credentials do not follow to another host.
func TestRegistryRedirect(t *testing.T) {
	ti := ocitest.Simple(t)
	p := ocitest.NewPack()
	d := p.Image(t, ti)
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Write(p.Files["blobs/"+strings.Replace(filepath.Base(r.URL.Path), ":", "/", 1)])
	}))
	defer store.Close()
	host := fakeRegistry(t, p, d, func(w http.ResponseWriter, r *http.Request) bool {
		user, pass, _ := r.BasicAuth()
		switch {
		case user != "me" || pass != "secret":
			w.Header().Set("WWW-Authenticate", `Basic realm="test, with comma"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(r.URL.Path, "/blobs/"):
			http.Redirect(w, r, store.URL+r.URL.Path, http.StatusTemporaryRedirect)
		default:
			return false
		}
		return true
	})
	if _, err := Open(ctx, host+"/r:v1", linux); err == nil || temporary(err) || !strings.Contains(err.Error(), "401") {
		t.Errorf("without credentials: %v", err)
	}
	opts := linux
	opts.Registry.AuthFiles = []string{filepath.Join(t.TempDir(), "config.json")}
	auth := fmt.Sprintf(`{"auths":{%q:{"username":"me","password":"secret"}}}`, host)
	must(t, os.WriteFile(opts.Registry.AuthFiles[0], []byte(auth), 0o666))
	img, err := Open(ctx, host+"/r:v1", opts)
	must(t, err)
	check(t, ti, img)
}
