package registry

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// upload is a session in which a client uploads a blob.
type upload struct {
	repo  string
	data  []byte
	state int // the client has to use the newest Location
}

var uploadRoute = regexp.MustCompile(`^/v2/(.+)/blobs/uploads/([^/]*)$`)

// Intercept makes f see each request to the registry before it is answered. If f returns
// true it has answered it.
func (s *Server) Intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// intercepted reports whether the function of Intercept has answered a request.
func (s *Server) intercepted(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	f := s.intercept
	s.mu.Unlock()
	return f != nil && f(w, r)
}

// Tagged returns what a tag names, or "".
func (s *Server) Tagged(repo, tag string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tags[repo][tag]
}

// Content returns the blob or manifest of a digest that a repository has been pushed, or nil.
func (s *Server) Content(repo, digest string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.links[repo][digest] {
		return nil
	}
	return s.blobs[digest].data
}

// Uploads returns how many sessions are open.
func (s *Server) Uploads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

// link makes the repository have a blob or manifest.
func (s *Server) link(repo, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links[repo] == nil {
		s.links[repo] = map[string]bool{}
	}
	s.links[repo][digest] = true
}

func (s *Server) linked(repo, digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[repo][digest]
}

// uploading answers the requests of a session, whose id is "" if it is to begin.
func (s *Server) uploading(x *exchange, repo, id string) {
	if id == "" {
		s.beginUpload(x, repo)
		return
	}
	s.mu.Lock()
	u, newest, have := s.uploads[id], 0, 0
	if u != nil {
		newest, have = u.state, len(u.data)
	}
	s.mu.Unlock()
	state, _ := strconv.Atoi(x.r.URL.Query().Get("_state"))
	writes := x.r.Method == http.MethodPatch || x.r.Method == http.MethodPut
	switch {
	case u == nil || u.repo != repo:
		refuse(x.w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
	case writes && state != newest:
		refuse(x.w, http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "state is out of date")
	case x.r.Method == http.MethodGet:
		s.answerUpload(x, id, u, http.StatusNoContent)
	case x.r.Method == http.MethodDelete:
		s.endUpload(id)
		x.w.WriteHeader(http.StatusNoContent)
	case x.r.Method == http.MethodPatch:
		if at := x.r.Header.Get("Content-Range"); at != "" && !strings.HasPrefix(at, fmt.Sprintf("%d-", have)) {
			s.answerUpload(x, id, u, http.StatusRequestedRangeNotSatisfiable)
		} else if s.receive(x, u) {
			s.answerUpload(x, id, u, http.StatusAccepted)
		}
	case x.r.Method == http.MethodPut:
		if s.receive(x, u) {
			s.commit(x, id, u)
		}
	}
}

func (s *Server) beginUpload(x *exchange, repo string) {
	q := x.r.URL.Query()
	d, from := q.Get("mount"), q.Get("from")
	if d != "" && s.linked(from, d) && s.mayPull(x.r, from) {
		s.link(repo, d)
		x.w.Header().Set("Docker-Content-Digest", d)
		x.w.Header().Set("Location", "/v2/"+repo+"/blobs/"+d)
		x.w.WriteHeader(http.StatusCreated)
		return
	}
	s.mu.Lock()
	s.sessions++
	id := fmt.Sprintf("session-%d", s.sessions)
	u := &upload{repo: repo}
	s.uploads[id] = u
	s.mu.Unlock()
	s.answerUpload(x, id, u, http.StatusAccepted)
}

func (s *Server) endUpload(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uploads, id)
}

// answerUpload says how much of an upload has come, in the way of docker's registry: 0-0 for
// nothing.
func (s *Server) answerUpload(x *exchange, id string, u *upload, code int) {
	s.mu.Lock()
	u.state++
	state, have := u.state, len(u.data)
	s.mu.Unlock()
	h := x.w.Header()
	h.Set("Location", fmt.Sprintf("/v2/%s/blobs/uploads/%s?_state=%d", u.repo, id, state))
	h.Set("Range", fmt.Sprintf("0-%d", max(have-1, 0)))
	h.Set("Docker-Upload-UUID", id)
	x.w.WriteHeader(code)
}

// receive adds the body to an upload, and reports whether all of it has come.
func (s *Server) receive(x *exchange, u *upload) bool {
	breaks := x.rule.Break != ""
	body := io.Reader(x.r.Body)
	if breaks {
		body = io.LimitReader(body, x.rule.At)
	}
	buf := make([]byte, 32<<10)
	for got := int64(0); ; {
		if x.Rate > 0 && s.limit(x.r).take(x.r.Context(), int64(len(buf)), x.Rate) != nil {
			return false
		}
		m, err := body.Read(buf)
		got += int64(m)
		s.mu.Lock()
		u.data = append(u.data, buf[:m]...)
		s.mu.Unlock()
		s.count(func(c *counters) { c.Received += int64(m) })
		switch {
		case err == io.EOF && breaks && got == x.rule.At:
			x.leave(x.rule.Break)
			return false
		case err != nil:
			return err == io.EOF
		}
	}
}

func (s *Server) commit(x *exchange, id string, u *upload) {
	s.endUpload(id)
	want := x.r.URL.Query().Get("digest")
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256(u.data)); got != want {
		refuse(x.w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
		return
	}
	s.put(want, blob{size: int64(len(u.data)), data: u.data})
	s.link(u.repo, want)
	x.w.Header().Set("Docker-Content-Digest", want)
	x.w.Header().Set("Location", "/v2/"+u.repo+"/blobs/"+want)
	x.w.WriteHeader(http.StatusCreated)
}

// putManifest stores a manifest or index, all of whose parts must be there.
func (s *Server) putManifest(x *exchange, repo, ref string) {
	data, err := io.ReadAll(x.r.Body)
	if err != nil {
		return
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		refuse(x.w, http.StatusBadRequest, "MANIFEST_INVALID", "not JSON")
		return
	}
	parts := slices.Concat(m.Layers, m.Manifests)
	if m.Config != nil {
		parts = append(parts, *m.Config)
	}
	for _, d := range parts {
		if !s.linked(repo, d.Digest) && !strings.Contains(d.MediaType, ".nondistributable.") {
			refuse(x.w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", d.Digest)
			return
		}
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	if strings.Contains(ref, ":") && ref != digest {
		refuse(x.w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
		return
	}
	s.put(digest, blob{size: int64(len(data)), data: data})
	s.link(repo, digest)
	if ref != digest {
		s.Tag(repo, ref, digest)
	}
	x.w.Header().Set("Docker-Content-Digest", digest)
	x.w.WriteHeader(http.StatusCreated)
}
