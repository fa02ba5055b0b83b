package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	fake "ocipipe/lib/reftest/registry"
)

// startPush runs a registry that takes images, and opens its repository r.
func startPush(t *testing.T, b fake.Behaviour, opts Options) (*fake.Server, *Target, *waits) {
	t.Helper()
	b.Push = true
	s := start(t, fake.Config{}, b)
	to, w := target(t, s.Host, opts)
	return s, to, w
}

func target(t *testing.T, host string, opts Options) (*Target, *waits) {
	t.Helper()
	c, w := client(t, opts)
	to, err := c.Target(parse(t, host+"/r:v1"))
	must(t, err)
	return to, w
}

// uploadOf uploads b in chunks of 1 MiB.
func uploadOf(to *Target, b []byte, mount ...string) (string, error) {
	return to.Upload(ctx, blobOf(b), Upload{Chunk: 1 << 20, Mount: mount, Open: opener(b)})
}

func opener(b []byte) func(context.Context, int64) (io.ReadCloser, error) {
	return func(_ context.Context, off int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b[off:])), nil
	}
}

const session = "/blobs/uploads/session"

// TestUploadFailures: whatever fails once at whichever request, the blob arrives.
func TestUploadFailures(t *testing.T) {
	large, small := data(3_500_000), data(1000)
	faults := map[string]fake.Rule{
		"503": {Status: 503}, "429": {Status: 429, RetryAfter: "2"}, "404": {Status: 404}, "400": {Status: 400}, "416": {Status: 416},
		"drop": {Break: "drop"}, "reset": {Break: "reset", At: 300_000}, "close": {Break: "close", At: 300_000}, "reset at once": {Break: "reset"},
	}
	requests := []string{"HEAD registry", "POST registry", "PATCH registry", "PUT registry", "GET registry"}
	for what, rule := range faults {
		for _, request := range requests {
			for skip := range 4 {
				if request == "POST registry" && (what == "404" || what == "400" || what == "416") {
					continue // no session, no upload
				}
				for _, b := range [][]byte{large, small} {
					rule.Match, rule.Skip, rule.Times = request, skip, 1
					rules := []fake.Rule{rule}
					if request == "GET registry" { // asked for after another failure
						rules = append(rules, fake.Rule{Match: "PATCH registry", Skip: 1, Times: 2, Status: 500})
					}
					s, to, _ := startPush(t, fake.Behaviour{Rules: rules}, Options{})
					if _, err := uploadOf(to, b); err != nil {
						t.Errorf("%s at %s number %d, %d bytes: %v", what, request, skip, len(b), err)
					} else if !bytes.Equal(s.Content("r", digest.FromBytes(b).String()), b) {
						t.Errorf("%s at %s number %d, %d bytes: another blob", what, request, skip, len(b))
					}
					if n := s.Uploads(); n > 1 { // the answer to a POST may be lost
						t.Errorf("%s at %s number %d: %d sessions left", what, request, skip, n)
					}
					s.Close()
				}
			}
		}
	}
}

// TestUploadResumes: after a failure in mid-chunk only the rest is sent.
func TestUploadResumes(t *testing.T) {
	b := data(10_000_000)
	s, to, w := startPush(t, fake.Behaviour{Rules: []fake.Rule{{Match: "PATCH", Skip: 4, Times: 3, Break: "close", At: 500_000}}}, Options{})
	_, err := uploadOf(to, b)
	must(t, err)
	if again := s.Stats().Received - int64(len(b)); again > 100_000 || len(w.list) != 3 {
		t.Errorf("%d bytes were sent again, %d waits", again, len(w.list))
	}
	if got := s.Stats().Requests["POST /v2/r/blobs/uploads/"]; got != 1 {
		t.Errorf("%d sessions", got)
	}
}

// TestUploadTokens: tokens that expire in mid-upload are renewed; the scope is that of pushes.
func TestUploadTokens(t *testing.T) {
	b := data(8_000_000)
	s, to, _ := startPush(t, fake.Behaviour{Auth: "bearer", User: "me", Password: "secret-word", TokenUses: 3},
		Options{Username: "me", Password: "secret-word"})
	_, err := uploadOf(to, b)
	must(t, err)
	if st := s.Stats(); st.Tokens < 3 || st.Expired < 2 {
		t.Errorf("%d tokens, %d expired", st.Tokens, st.Expired)
	}
}

func TestUploadMounts(t *testing.T) {
	b := data(2_000_000)
	for _, auth := range []string{"", "basic", "bearer"} {
		s, to, _ := startPush(t, fake.Behaviour{Auth: auth, User: "me", Password: "secret-word"}, Options{Username: "me", Password: "secret-word"})
		other, err := to.c.Target(parse(t, s.Host+"/base/image:v1"))
		must(t, err)
		_, err = uploadOf(other, b)
		must(t, err)
		s.Reset()
		if from, err := uploadOf(to, b, "none", "base/image"); err != nil || from != "base/image" || s.Stats().Received != 0 {
			t.Errorf("auth %q: from %q, %v, %d bytes sent", auth, from, err, s.Stats().Received)
		}
		if s.Content("r", digest.FromBytes(b).String()) == nil || s.Uploads() != 0 {
			t.Errorf("auth %q: not there, or %d sessions left", auth, s.Uploads())
		}
		c := data(2_000_001)
		if from, err := uploadOf(to, c, "none", "base/image"); err != nil || from != "" || s.Content("r", digest.FromBytes(c).String()) == nil {
			t.Errorf("auth %q: a blob that no other repository has: from %q, %v", auth, from, err)
		}
	}
}

// TestMountRefused: a registry that refuses mounts, or tokens for them, gets the blob.
func TestMountRefused(t *testing.T) {
	b := data(1000)
	for _, code := range []int{400, 403, 404, 405, 500} {
		s, to, _ := startPush(t, fake.Behaviour{}, Options{})
		s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("from") != "" {
				w.WriteHeader(code)
				return true
			}
			return false
		})
		if from, err := uploadOf(to, b, "base"); err != nil || from != "" {
			t.Errorf("%d: %q, %v", code, from, err)
		}
	}
	s, to, _ := startPush(t, fake.Behaviour{Auth: "bearer"}, Options{})
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.RawQuery, "base") && r.URL.Path == "/token" {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	if from, err := uploadOf(to, b, "base"); err != nil || from != "" {
		t.Errorf("no token for the other repository: %q, %v", from, err)
	}
}

// answering makes a registry answer the requests that begin with prefix.
func answering(prefix string, do func(w http.ResponseWriter, r *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return strings.HasPrefix(r.Method+" "+r.URL.Path, prefix) && do(w, r)
	}
}

func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(code)
		return true
	}
}

// TestUploadForms: registries that understand only some forms get another.
func TestUploadForms(t *testing.T) {
	b := data(3_000_000)
	once := func(r *http.Request) bool { return r.Header.Get("Content-Range") == "" }
	for name, refuse := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"no PATCH": answering("PATCH", status(405)),
		"no chunks": answering("PATCH", func(w http.ResponseWriter, r *http.Request) bool {
			return !once(r) && status(416)(w, r)
		}),
		"no second chunk": answering("PATCH", func(w http.ResponseWriter, r *http.Request) bool {
			return !once(r) && !strings.HasPrefix(r.Header.Get("Content-Range"), "0-") && status(400)(w, r)
		}),
		"a session for one request": answering("PATCH", func(w http.ResponseWriter, r *http.Request) bool {
			return !once(r) && !strings.HasPrefix(r.Header.Get("Content-Range"), "0-") && status(404)(w, r)
		}),
		"a lie about the range": answering("PATCH", func(w http.ResponseWriter, r *http.Request) bool {
			if once(r) {
				return false
			}
			w.Header().Set("Range", "0-999999999999")
			return status(202)(w, r)
		}),
		"no progress but good words": answering("PATCH", func(w http.ResponseWriter, r *http.Request) bool {
			if once(r) {
				return false
			}
			w.Header().Set("Range", r.Header.Get("Content-Range"))
			return status(202)(w, r)
		}),
		"chunks in the wrong order": answering("PUT", func(w http.ResponseWriter, r *http.Request) bool {
			return r.ContentLength == 0 && status(400)(w, r)
		}),
		"no state": answering("GET"+" /v2/r"+session, status(404)),
	} {
		s, to, _ := startPush(t, fake.Behaviour{Rules: []fake.Rule{{Match: "PATCH", Skip: 5, Times: 1, Break: "reset", At: 1000}}}, Options{})
		s.Intercept(refuse)
		for _, b := range [][]byte{b, data(2_500_000), data(5000)} {
			if _, err := uploadOf(to, b); err != nil || !bytes.Equal(s.Content("r", digest.FromBytes(b).String()), b) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestUploadShrinks: a proxy that limits requests gets smaller chunks, for the next blob from
// the beginning.
func TestUploadShrinks(t *testing.T) {
	s, to, _ := startPush(t, fake.Behaviour{}, Options{})
	var refused atomic.Int64
	s.Intercept(answering("P", func(w http.ResponseWriter, r *http.Request) bool {
		if r.ContentLength <= 1<<20 {
			return false
		}
		refused.Add(1)
		return status(413)(w, r)
	}))
	for i := range 2 {
		b := data(10_000_000 + i)
		if _, err := to.Upload(ctx, blobOf(b), Upload{Open: opener(b)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := refused.Load(); n == 0 || n > 3 {
		t.Errorf("%d requests were too large", n)
	}
}

// TestUploadMinimum: chunks are as long as the registry asks for.
func TestUploadMinimum(t *testing.T) {
	b := data(9_000_000)
	s, to, _ := startPush(t, fake.Behaviour{}, Options{})
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		switch r.Method {
		case "POST":
			w.Header().Set("OCI-Chunk-Min-Length", "4000000")
		case "PATCH":
			if r.ContentLength < 4_000_000 && r.Header.Get("Content-Range") != "8000000-8999999" {
				t.Errorf("a chunk of %d bytes", r.ContentLength)
			}
		}
		return false
	})
	_, err := uploadOf(to, b)
	must(t, err)
}

// TestUploadWrongBytes: the registry never gets all of a blob that is not what it should be.
func TestUploadWrongBytes(t *testing.T) {
	bad := errors.New("those are not the bytes")
	for _, size := range []int{0, 1000, 3_000_000} {
		b := data(size)
		s, to, _ := startPush(t, fake.Behaviour{}, Options{})
		_, err := to.Upload(ctx, blobOf(b), Upload{Chunk: 1 << 20, Open: func(_ context.Context, off int64) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(b[off:]), iotest.ErrReader(bad))), nil
		}})
		if !errors.Is(err, bad) || size > 0 && s.Stats().Received >= int64(size) || s.Content("r", digest.FromBytes(b).String()) != nil {
			t.Errorf("%d bytes: %v, %d sent", size, err, s.Stats().Received)
		}
		for _, text := range []string{"short", "long"} {
			b := map[string][]byte{"short": b[:size/2], "long": append(b[:size:size], 1)}[text]
			if len(b) == size {
				continue
			}
			if _, err := to.Upload(ctx, blobOf(data(size)), Upload{Open: opener(b)}); err == nil && size > 0 {
				t.Errorf("%d bytes, too %s: no error", size, text)
			}
		}
	}
}

// TestUploadElsewhere: a session at another host gets no credentials.
func TestUploadElsewhere(t *testing.T) {
	b := data(3_000_000)
	var leaks atomic.Int64
	var got bytes.Buffer
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaks.Add(1)
		}
		if q := r.URL.RawQuery; !strings.HasPrefix(q, "z=1&sig=a%2Fb&a=2") {
			t.Errorf("the query is %s", q)
		}
		io.Copy(&got, r.Body)
		if r.Method == "PUT" {
			w.WriteHeader(201)
			return
		}
		w.WriteHeader(202)
	}))
	defer store.Close()
	for _, kind := range []string{"location", "redirect"} {
		got.Reset()
		s, to, _ := startPush(t, fake.Behaviour{Auth: "basic", User: "me", Password: "secret-word"}, Options{Username: "me", Password: "secret-word"})
		there := strings.Replace(store.URL, "://", "://me:secret-word@", 1) + "/x?z=1&sig=a%2Fb&a=2"
		stored := atomic.Bool{}
		s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			_, _, in := r.BasicAuth()
			switch {
			case r.Method == "HEAD" && stored.Load():
				w.WriteHeader(200)
			case r.Method == "POST" && in && kind == "location":
				stored.Store(true)
				w.Header().Set("Location", there)
				w.WriteHeader(202)
			case (r.Method == "PATCH" || r.Method == "PUT") && in && kind == "redirect":
				stored.Store(true)
				w.Header().Set("Location", there)
				w.WriteHeader(307)
			default:
				return false
			}
			return true
		})
		if _, err := uploadOf(to, b); err != nil || !bytes.Equal(got.Bytes(), b) || leaks.Load() > 0 {
			t.Errorf("%s: %v, %d bytes, %d leaks", kind, err, got.Len(), leaks.Load())
		}
	}
}

// TestUploadSilence: a server that takes nothing, or does not answer, is a temporary failure. If
// it says that it has the bytes all the same, that is good.
func TestUploadSilence(t *testing.T) {
	b := data(20_000_000) // more than sockets hold
	for _, rule := range []fake.Rule{{Match: "PATCH", Break: "stall", At: 1000}, {Match: "PATCH", Break: "stall", At: int64(len(b))}, {Match: "PUT", Wait: fake.Duration(time.Minute)}, {Match: "POST", Wait: fake.Duration(time.Minute)}} {
		_, to, _ := startPush(t, fake.Behaviour{Rules: []fake.Rule{rule}}, Options{Timeout: 200 * time.Millisecond, Retries: 1})
		start := time.Now()
		_, err := to.Upload(ctx, blobOf(b), Upload{Open: opener(b)})
		if rule.At == int64(len(b)) && err == nil {
			continue
		}
		if !Temporary(err) || !strings.Contains(err.Error(), "connection stalled") || time.Since(start) > 20*time.Second {
			t.Errorf("%+v: %v after %s", rule, err, time.Since(start))
		}
	}
}

// TestUploadSlowSource: a source that takes its time is not the fault of the server.
func TestUploadSlowSource(t *testing.T) {
	b := data(2_000_000)
	_, to, w := startPush(t, fake.Behaviour{}, Options{Timeout: 300 * time.Millisecond})
	_, err := to.Upload(ctx, blobOf(b), Upload{Open: func(_ context.Context, off int64) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(b[off:1_500_000]), pausing(time.Second), bytes.NewReader(b[1_500_000:]))), nil
	}})
	if err != nil || len(w.list) > 0 {
		t.Errorf("%v, %d waits", err, len(w.list))
	}
}

type pausing time.Duration

func (p pausing) Read([]byte) (int, error) {
	time.Sleep(time.Duration(p))
	return 0, io.EOF
}

func TestUploadEnds(t *testing.T) {
	b := data(20_000_000)
	_, to, _ := startPush(t, fake.Behaviour{Rate: 1_000_000}, Options{})
	stop := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(200*time.Millisecond, func() { cancel(stop) })
	if _, err := to.Upload(ctx, blobOf(b), Upload{Open: opener(b)}); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestUploaded(t *testing.T) {
	for _, c := range []struct {
		s    string
		off  int64
		want int64
		ok   bool
	}{
		{"0-99", 0, 100, true}, {"bytes=0-99", 0, 100, true}, {" 0-99", 50, 100, true}, {"50-99", 50, 100, true}, {"0-0", 0, 0, false},
		{"50-99", 0, 0, false}, {"", 0, 0, false}, {"0", 0, 0, false}, {"0--5", 0, 0, false}, {"0-99999999999999999999", 0, 0, false}, {"50-20", 50, 0, false},
	} {
		if n, ok := uploaded(c.s, c.off); n != c.want || ok != c.ok {
			t.Errorf("%q after %d: %d, %v", c.s, c.off, n, ok)
		}
	}
}

// TestPutManifest: digests of answers, and tags that stay as they are.
func TestPutManifest(t *testing.T) {
	m := Manifest{Data: []byte(`{"schemaVersion":2,"manifests":[]}`), MediaType: "application/vnd.oci.image.index.v1+json"}
	d, other := digest.FromBytes(m.Data), digest.FromString("other")
	put := func(intercept func(http.ResponseWriter, *http.Request) bool, ref string) error {
		s, to, _ := startPush(t, fake.Behaviour{}, Options{})
		s.Intercept(intercept)
		return to.PutManifest(ctx, ref, m, d, nil)
	}
	kept := func(has digest.Digest) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == "HEAD" && has != "" {
				w.Header().Set("Docker-Content-Digest", has.String())
				return status(200)(w, r)
			}
			return r.Method == "PUT" && status(409)(w, r)
		}
	}
	none := func(http.ResponseWriter, *http.Request) bool { return false }
	must(t, put(none, "v1"))
	must(t, put(none, d.String()))
	must(t, put(kept(d), "v1")) // it names that already
	var tag *TagError
	if err := put(kept(other), "v1"); !errors.As(err, &tag) || tag.Has != other || !strings.Contains(err.Error(), "409") {
		t.Error(err)
	}
	if err := put(kept(""), "v1"); err == nil || errors.As(err, &tag) {
		t.Error(err)
	}
	for _, claim := range []string{other.String(), "sha256:nonsense", digest.SHA512.FromString("other").String()} {
		err := put(answering("PUT", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Docker-Content-Digest", claim)
			return status(201)(w, r)
		}), "v1")
		if !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), d.String()) || !strings.Contains(err.Error(), claim[:min(100, len(claim))]) {
			t.Errorf("%s: %v", claim, err)
		}
	}
	must(t, put(answering("PUT", func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Docker-Content-Digest", digest.SHA512.FromBytes(m.Data).String())
		return status(201)(w, r)
	}), "v1"))
}

// TestSibling: repositories of the same registry, also by another name of it.
func TestSibling(t *testing.T) {
	to, _ := target(t, "registry.example", Options{})
	for repo, want := range map[string]string{"registry.example/a/b": "a/b", "registry.example/r": "", "other.example/a": "", "alpine": ""} {
		parsed, err := name.NewRepository(repo)
		must(t, err)
		if got := to.Sibling(parsed); got != want {
			t.Errorf("%s: %q, want %q", repo, got, want)
		}
	}
}

// TestPutManifestTokens: a token that has expired is renewed, and the manifest is sent again.
func TestPutManifestTokens(t *testing.T) {
	m := Manifest{Data: []byte(`{"schemaVersion":2,"manifests":[]}`), MediaType: "application/vnd.oci.image.index.v1+json"}
	s, to, w := startPush(t, fake.Behaviour{Auth: "bearer", TokenUses: 1}, Options{})
	for range 3 {
		must(t, to.PutManifest(ctx, "v1", m, digest.FromBytes(m.Data), nil))
	}
	if s.Stats().Expired != 2 || len(w.list) > 0 {
		t.Errorf("%d tokens have expired, %d waits", s.Stats().Expired, len(w.list))
	}
}
