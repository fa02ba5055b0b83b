package registry

import (
	"maps"
	"net/http"
	"slices"
	"sort"
	"strings"
)

// Stats counts what a server has served.
type Stats struct {
	Requests    map[string]int // how many, by "GET /v2/r/blobs/sha256:..."; for the storage "GET storage/..."
	Connections int            // how many were made
	Running     int            // requests that are being answered
	Most        int            // the most requests that were answered at the same time
	Tokens      int            // how many were given out
	Expired     int            // requests with an expired token
	Leaks       int            // requests to the storage with credentials
	Blobs       map[string]Served
	Received    int64 // bytes that were uploaded
}

// Served says how much of a blob, or manifest, was sent. Bytes that were sent shortly before
// a connection broke may not have arrived.
type Served struct {
	Size   int64
	Bytes  int64  // sent, repeated ones counted each time
	Unique int64  // bytes of the blob that were sent at least once
	Again  int64  // Bytes - Unique
	Spans  []Span // how often each part was sent, in ascending order
}

// Span is a part of a blob.
type Span struct {
	From, To int64 // To is the offset after the last byte
	Times    int
}

type counters struct {
	Stats
	sizes map[string]int64
	edges map[string]map[int64]int // of the parts that were sent: +1 where one begins, -1 where one ends
}

func newCounters() counters {
	return counters{Stats: Stats{Requests: map[string]int{}}, sizes: map[string]int64{}, edges: map[string]map[int64]int{}}
}

func (s *Server) count(update func(c *counters)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	update(&s.stats)
}

func (c *counters) request(r *http.Request, host string) {
	path := strings.TrimSuffix(host, "registry") + r.URL.Path
	c.Requests[r.Method+" "+path]++
	c.Running++
	c.Most = max(c.Most, c.Running)
}

func (c *counters) served(digest string, size, from, n int64) {
	c.sizes[digest] = size
	c.add(digest, from, n, 1)
}

// notServed takes back what served has counted.
func (c *counters) notServed(digest string, from, n int64) { c.add(digest, from, n, -1) }

func (c *counters) add(digest string, from, n int64, times int) {
	e := c.edges[digest]
	if e == nil {
		e = map[int64]int{}
		c.edges[digest] = e
	}
	e[from] += times
	e[from+n] -= times
}

// Stats returns what was served since Start or Reset.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats.Stats
	st.Requests = maps.Clone(st.Requests)
	st.Blobs = map[string]Served{}
	for digest, edges := range s.stats.edges {
		st.Blobs[digest] = sum(s.stats.sizes[digest], edges)
	}
	return st
}

func sum(size int64, edges map[int64]int) Served {
	v := Served{Size: size}
	at := slices.Collect(maps.Keys(edges))
	sort.Slice(at, func(i, j int) bool { return at[i] < at[j] })
	times := 0
	for i, off := range at {
		if edges[off] == 0 {
			continue
		}
		if n := len(v.Spans); n > 0 && v.Spans[n-1].To == 0 {
			v.Spans[n-1].To = off
		}
		if times += edges[off]; times > 0 && i < len(at)-1 {
			v.Spans = append(v.Spans, Span{From: off, Times: times})
		}
	}
	for _, p := range v.Spans {
		v.Unique += p.To - p.From
		v.Bytes += (p.To - p.From) * int64(p.Times)
	}
	v.Again = v.Bytes - v.Unique
	return v
}

// Reset makes the server count from zero.
func (s *Server) Reset() {
	s.count(func(c *counters) {
		running := c.Running
		*c = newCounters()
		c.Running = running
	})
}
