package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
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

// TestHeaderLength: headers are bounded, of which challenges are made.
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

// TestNotInTheClear: who speaks TLS and redirects to a server that does not, of the
// same name even, has not made us send credentials in the clear.
func TestNotInTheClear(t *testing.T) {
	asks := func(w http.ResponseWriter, req *http.Request) bool {
		if _, _, ok := req.BasicAuth(); ok {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(401)
		return true
	}
	asked := 0
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked++
		if !asks(w, req) {
			t.Errorf("credentials of %s went in the clear", req.Host)
		}
	}))
	defer plain.Close()
	const host, other = "registry.example:443", "store.example"
	for _, to := range []string{host, other} {
		secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if !asks(w, req) {
				http.Redirect(w, req, "http://"+to+"/x", http.StatusFound)
			}
		}))
		defer secure.Close()
		for _, opts := range []Options{
			{AuthFiles: []string{authFileOf(t, host, `{"auths":{"HOST":{"auth":"bWU6c2VjcmV0"},"`+other+`":{"auth":"bWU6c2VjcmV0"}}}`)}},
			{Username: "me", Password: "secret"},
		} {
			asked = 0
			r, _ := open(t, host, opts)
			r.c.transport.(*http.Transport).DialContext = redirectDialer{plain.Listener.Addr().String()}.dial
			r.c.transport.(*http.Transport).DialTLSContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, network, secure.Listener.Addr().String())
			}
			if _, err := r.Manifest(ctx, "v1", 1<<20, nil); err == nil || !strings.Contains(err.Error(), "401") || asked == 0 {
				t.Errorf("%s: %v, asked %d times", to, err, asked)
			}
		}
	}
}

// TestForeignLogin: nobody logs in at a URL of the manifest, not even with what is
// there for its host.
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

// TestCrumbs: a few bytes an attempt are no reason to go on for ever.
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
