// Package registry is a registry for tests. It serves images from memory or from a layout
// directory, misbehaves as it is told, and counts what it serves:
//
//	reg, err := registry.Start(registry.Config{})
//	img := reg.AddImage("r", "v1", layer0, layer1)
//	reg.Behave(registry.Behaviour{Rules: []registry.Rule{{Match: "/blobs/", Times: 1, Status: 503}}})
//	... fetch reg.Host + "/r:v1" ...
//	reg.Stats().Blobs[img.Layers[0]].Again == 0
//
// The command below it, cmd, is the same registry for shell tests, controlled by HTTP.
package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// Server is the registry. The zero value is not useful; see Start.
type Server struct {
	// Host is the HOST:PORT of the registry, Storage that of the host that it may
	// redirect blobs to, and Control that of the endpoint that controls it, which is
	// always without TLS.
	Host, Storage, Control string
	// Certs has the certificates that a client needs for TLS; nil without TLS.
	Certs *Certs

	stop    []func() error
	closing chan struct{}
	close   sync.Once

	mu        sync.Mutex
	blobs     map[string]blob              // by digest
	tags      map[string]map[string]string // repository, then tag, to digest
	behaviour Behaviour
	used      []int // how often each rule has matched
	random    *rand.Rand
	tokens    map[string]token
	urls      map[string]int // uses of each URL at Storage, by its key
	stats     counters
	intercept func(http.ResponseWriter, *http.Request) bool
	links     map[string]map[string]bool // what each repository was pushed
	uploads   map[string]*upload         // by id
	sessions  int
}

// blob is the content of one digest.
type blob struct {
	size int64
	data []byte // in memory, or in the file path
	path string
}

func (b blob) open() (io.ReadSeekCloser, error) {
	if b.path == "" {
		return struct {
			io.ReadSeeker
			io.Closer
		}{bytes.NewReader(b.data), io.NopCloser(nil)}, nil
	}
	return os.Open(b.path)
}

func (s *Server) blobOf(digest string) (blob, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[digest]
	return b, ok
}

// has reports whether the server has the repository.
func (s *Server) has(repo string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tags[repo] != nil
}

var route = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs)/([^/]+)$`)

// registry answers requests to the registry.
func (s *Server) registry(w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r, "registry")
	defer x.end()
	if x.fails() || s.intercepted(w, r) {
		return
	}
	m, up := route.FindStringSubmatch(r.URL.Path), uploadRoute.FindStringSubmatch(r.URL.Path)
	repo := ""
	if m != nil {
		repo = m[1]
	} else if up != nil {
		repo = up[1]
	}
	switch {
	case r.URL.Path == "/token":
		s.token(w, r)
	case !s.admits(w, r, repo):
	case up != nil && x.Push:
		s.uploading(x, repo, up[2])
	case m != nil && m[2] == "manifests" && r.Method == http.MethodPut && x.Push:
		s.putManifest(x, repo, m[3])
	case m != nil && x.Push && !s.linked(repo, m[3]) && s.Tagged(repo, m[3]) == "":
		refuse(w, http.StatusNotFound, map[string]string{"blobs": "BLOB_UNKNOWN", "manifests": "MANIFEST_UNKNOWN"}[m[2]], "not in this repository")
	case r.URL.Path == "/v2/":
		w.Write([]byte("{}"))
	case m == nil:
		refuse(w, http.StatusNotFound, "UNSUPPORTED", "no such route")
	case !s.has(repo) && !x.Push:
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
	case m[2] == "manifests":
		s.manifest(x, repo, m[3])
	case x.Redirect:
		s.redirect(x, m[3])
	default:
		x.blob(m[3], "BLOB_UNKNOWN")
	}
}

// storage answers requests to the other host. Like the stores of cloud providers it refuses
// a second kind of credentials.
func (s *Server) storage(w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r, "storage")
	defer x.end()
	if x.fails() {
		return
	}
	switch {
	case r.Header.Get("Authorization") != "":
		s.count(func(c *counters) { c.Leaks++ })
		refuse(w, http.StatusBadRequest, "InvalidArgument", "only one auth mechanism allowed")
	case !s.useURL(r.URL.Query().Get("key"), x.RedirectUses):
		refuse(w, http.StatusForbidden, "AccessDenied", "request has expired")
	default:
		x.blob(path.Base(r.URL.Path), "NoSuchKey")
	}
}

// useURL reports whether the URL with key may be used once more. most is how often, or 0.
func (s *Server) useURL(key string, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	uses, ok := s.urls[key]
	if !ok || most > 0 && uses >= most {
		return false
	}
	s.urls[key]++
	return true
}

func (s *Server) redirect(x *exchange, digest string) {
	s.mu.Lock()
	key := strconv.Itoa(len(s.urls))
	s.urls[key] = 0
	s.mu.Unlock()
	http.Redirect(x.w, x.r, s.scheme()+s.Storage+"/store/"+digest+"?key="+key, http.StatusTemporaryRedirect)
}

func (s *Server) scheme() string {
	if s.Certs != nil {
		return "https://"
	}
	return "http://"
}

func (s *Server) manifest(x *exchange, repo, ref string) {
	s.mu.Lock()
	digest, ok := s.tags[repo][ref]
	s.mu.Unlock()
	if !ok {
		digest = ref
	}
	b, ok := s.blobOf(digest)
	if !ok {
		refuse(x.w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	x.w.Header().Set("Content-Type", mediaType(b))
	x.w.Header().Set("Docker-Content-Digest", digest)
	x.send(digest, b, "")
}

// mediaType returns the media type in the manifest b.
func mediaType(b blob) string {
	m := manifest{MediaType: "application/vnd.oci.image.manifest.v1+json"}
	f, err := b.open()
	if err == nil {
		defer f.Close()
		json.NewDecoder(f).Decode(&m)
	}
	return m.MediaType
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	type e struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	b, err := json.Marshal(map[string][]e{"errors": {{code, message}}})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
}

// Behave makes the server behave as b says from now on.
func (s *Server) Behave(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour, s.used = b, make([]int, len(b.Rules))
	s.random = rand.New(rand.NewPCG(b.Seed, 0))
}

// control takes orders: PUT /behave a Behaviour as JSON, GET /stats, POST /reset
// to count from zero.
func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "PUT /behave":
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		var b Behaviour
		err := dec.Decode(&b)
		if err == nil {
			err = b.check()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.Behave(b)
	case "GET /stats":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.Encode(s.Stats())
	case "POST /reset":
		s.Reset()
	default:
		http.NotFound(w, r)
	}
}

// wait sleeps for d. It returns an error if the client leaves first.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

var errLeft = errors.New("the client has left")
