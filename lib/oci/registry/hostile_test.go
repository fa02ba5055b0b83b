package registry

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	fake "ocipipe/lib/reftest/registry"
)

// TestHugeSize: what a manifest claims costs no memory, whatever comes.
func TestHugeSize(t *testing.T) {
	small := data(10)
	s := start(t, fake.Config{}, fake.Behaviour{})
	s.AddBlob(small)
	for _, size := range []int64{1 << 48, math.MaxInt64} {
		r, _ := open(t, s.Host, Options{})
		b := Blob{Digest: blobOf(small).Digest, Size: size}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := r.Fetch(ctx, b, []Span{{0, size}}, func([]byte, int64) error { return nil }, nil)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrSize) && !errors.Is(err, ErrProtocol) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
			t.Errorf("%d bytes of memory for a blob that claims %d", n, size)
		}
	}
}

// TestLongSecret: a server that sends a secret back so that only its beginning
// would fit into the message.
func TestLongSecret(t *testing.T) {
	secret := strings.Repeat("s3cret-", 30)
	s := start(t, fake.Config{}, fake.Behaviour{Auth: "basic", User: "me", Password: secret, Rules: []fake.Rule{
		{Match: "/manifests/", Skip: 1, Status: 403, Code: "DENIED", Message: strings.Repeat("x", 200) + " " + secret}}})
	r, _ := open(t, s.Host, Options{Username: "me", Password: secret})
	_, err := r.Manifest(ctx, "v1", 1<<20, nil)
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "x ***") {
		t.Errorf("%v", err)
	}
}

// TestHeaderLength: the headers that challenges come from have a greatest length.
func TestHeaderLength(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", strings.Repeat("a,", 2<<20))
		w.WriteHeader(401)
	}))
	defer s.Close()
	r, _ := open(t, strings.TrimPrefix(s.URL, "http://"), Options{Retries: -1})
	_, err := r.Manifest(ctx, "v1", 1<<20, nil)
	if err == nil || !strings.Contains(err.Error(), "headers exceeded") {
		t.Errorf("%v", err)
	}
}

// TestForeignLogin: no login is sent to a URL of the manifest, not even with the
// credentials for its host.
func TestForeignLogin(t *testing.T) {
	s := start(t, fake.Config{}, fake.Behaviour{})
	asked := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked++
		if req.Header.Get("Authorization") != "" {
			t.Error("credentials went elsewhere")
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(401)
	}))
	defer elsewhere.Close()
	r, _ := open(t, s.Host, Options{AuthFiles: []string{authFileOf(t, strings.TrimPrefix(elsewhere.URL, "http://"), `{"auths":{"HOST":{"auth":"bWU6c2VjcmV0"}}}`)}})
	b := blobOf(data(10))
	b.URLs = []string{elsewhere.URL + "/v2/x/blobs/y"}
	if _, err := fetchAll(t, r, b); err == nil || !strings.Contains(err.Error(), "401") || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}

// TestCrumbs: a few bytes in each attempt do not let a download go on for ever.
func TestCrumbs(t *testing.T) {
	big := data(3 << 20)
	s := start(t, fake.Config{}, fake.Behaviour{Rules: []fake.Rule{{Match: "/blobs/", Break: "reset", At: 5}}})
	s.AddBlob(big)
	for how, get := range map[string]func(r *Repository) error{
		"ranges": func(r *Repository) error { _, err := fetchAll(t, r, blobOf(big)); return err },
		"stream": func(r *Repository) error { _, err := stream(r, blobOf(big), 0); return err },
	} {
		r, w := open(t, s.Host, Options{Connections: 1, Retries: 3})
		if err := get(r); !Temporary(err) || len(w.list) != 3 {
			t.Errorf("%s: %v after %d retries", how, err, len(w.list))
		}
	}
}
