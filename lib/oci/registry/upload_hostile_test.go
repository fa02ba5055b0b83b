package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/reftest"
	fake "ocipipe/lib/reftest/registry"
)

// TestUploadFinal: what no retry helps against, and what it says.
func TestUploadFinal(t *testing.T) {
	b := data(3_000_000)
	text := func(code int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(code)
			io.WriteString(w, body)
			return true
		}
	}
	for _, c := range []struct {
		name      string
		intercept func(http.ResponseWriter, *http.Request) bool
		want      string
	}{
		{"read-only", answering("POST", text(405, `{"errors":[{"code":"UNSUPPORTED","message":"read-only"}]}`)), "registry: UNSUPPORTED: read-only (HTTP 405): it takes no uploads"},
		{"full disk", answering("PATCH", text(507, "")), "registry: Insufficient Storage (HTTP 507)"},
		{"too large", answering("P", func(w http.ResponseWriter, r *http.Request) bool { return r.Method != "POST" && text(413, "")(w, r) }), "(HTTP 413)"},
		{"denied", answering("POST", text(403, `{"errors":[{"code":"DENIED","message":"not yours"}]}`)), "registry: DENIED: not yours (HTTP 403)"},
		{"another digest", answering("PUT", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Docker-Content-Digest", digest.FromString("other").String())
			return text(201, "")(w, r)
		}), `wrong answer: the registry calls it "` + digest.FromString("other").String() + `", it is ` + digest.FromBytes(b).String()},
		{"never stored", answering("PUT", text(202, "")), "it took the blob, and does not have it"},
		{"never valid", answering("PUT", text(400, `{"errors":[{"code":"DIGEST_INVALID"}]}`)), "registry: DIGEST_INVALID (HTTP 400)"},
		{"to nowhere", answering("POST", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", "ftp://user:pass@x/")
			return text(202, "")(w, r)
		}), "it sends to no web address"},
		{"to a neighbour", answering("POST", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", "http://169.254.169.254/latest")
			return text(202, "")(w, r)
		}), "private address"},
		{"a redirect that forgets", answering("PATCH", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", "/elsewhere")
			return text(302, "")(w, r)
		}), "a redirect that drops what is sent (HTTP 302)"},
		{"in circles", answering("PATCH", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", r.URL.String())
			return text(307, "")(w, r)
		}), "more than 10 redirects"},
		{"there, and not", answering("POST", text(201, "")), "and then that it does not"},
		{"a number is no secret", answering("PATCH", func(w http.ResponseWriter, r *http.Request) bool {
			return text(410, `{"message":"the state `+r.URL.Query().Get("_state")+"veryverysecret"+` is no more"}`)(w, r)
		}), "registry: the state 1veryverysecret is no more (HTTP 410)"},
		{"signed, and repeated", func(w http.ResponseWriter, r *http.Request) bool {
			switch r.Method {
			case "POST":
				w.Header().Set("Location", "/v2/r/blobs/uploads/x?sig=a%2Flong%2Fsignature")
				return text(202, "")(w, r)
			case "PATCH":
				return text(410, `{"message":"a/long/signature or `+r.URL.RawQuery+` is no more"}`)(w, r)
			}
			return false
		}, "registry: *** or sig=*** is no more (HTTP 410)"},
	} {
		s, to, w := startPush(t, fake.Behaviour{}, Options{})
		s.Intercept(c.intercept)
		_, err := uploadOf(to, b)
		if err == nil || !strings.Contains(err.Error(), c.want) || Temporary(err) || len(w.list) > 0 {
			t.Errorf("%s: %v, %d waits; want %s", c.name, err, len(w.list), c.want)
		}
	}
}

// TestUploadGivesUp: a registry that makes no progress, or goes back again and again, does not
// hold us for ever.
func TestUploadGivesUp(t *testing.T) {
	b := data(3_000_000)
	var n atomic.Int64
	for name, intercept := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"always 503": answering("PATCH", status(503)),
		"takes none": answering("PATCH", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Range", "0-0")
			return status(500)(w, r)
		}),
		"forgets":      answering("PUT", status(500)),
		"always loses": answering("P", func(w http.ResponseWriter, r *http.Request) bool { return r.Method != "POST" && status(404)(w, r) }),
		"back and forth": func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.Method == "PATCH" && strings.HasPrefix(r.Header.Get("Content-Range"), "0-"):
				io.Copy(io.Discard, r.Body)
				w.Header().Set("Range", "0-1048575")
				w.WriteHeader(202)
			case r.Method == "PATCH":
				io.Copy(io.Discard, r.Body)
				w.WriteHeader(500)
			case r.Method == "GET" && strings.Contains(r.URL.Path, session):
				w.Header().Set("Range", fmt.Sprintf("0-%d", 20_000+n.Add(1)%2*900_000))
				w.WriteHeader(204)
			default:
				return false
			}
			return true
		},
	} {
		s, to, _ := startPush(t, fake.Behaviour{}, Options{})
		s.Intercept(intercept)
		if _, err := uploadOf(to, b); err == nil {
			t.Errorf("%s: it ended well", name)
		}
		total := 0
		for _, times := range s.Stats().Requests {
			total += times
		}
		if total > 200 {
			t.Errorf("%s: %d requests", name, total)
		}
	}
}

// TestUploadUnread: a registry that says that it has taken what it has not read is not
// believed.
func TestUploadUnread(t *testing.T) {
	b := data(40_000_000) // more than sockets hold
	s, to, _ := startPush(t, fake.Behaviour{}, Options{})
	var believed atomic.Bool
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		switch r.Method {
		case "PUT":
			believed.Store(believed.Load() || r.ContentLength == 0)
			w.Header().Set("Docker-Content-Digest", r.URL.Query().Get("digest"))
			w.WriteHeader(201)
		case "PATCH":
			w.Header().Set("Range", fmt.Sprintf("0-%d", len(b)-1))
			w.WriteHeader(202)
		default:
			return false
		}
		return true
	})
	if _, err := to.Upload(ctx, blobOf(b), Upload{Open: opener(b)}); !errors.Is(err, ErrProtocol) || believed.Load() {
		t.Errorf("%v; an empty commit: %v", err, believed.Load())
	}
}

// TestUploadNibbles: a registry that takes a little of each chunk does not make us send the
// rest over and over.
func TestUploadNibbles(t *testing.T) {
	b := data(8_000_000)
	s, to, _ := startPush(t, fake.Behaviour{}, Options{})
	var sent, took atomic.Int64
	s.Intercept(answering("PATCH", func(w http.ResponseWriter, r *http.Request) bool {
		n, _ := io.Copy(io.Discard, r.Body)
		sent.Add(n)
		w.Header().Set("Range", fmt.Sprintf("0-%d", took.Add(20_000)-1))
		w.WriteHeader(202)
		return true
	}))
	_, err := to.Upload(ctx, blobOf(b), Upload{Open: opener(b)})
	if n := sent.Load(); err != nil || n > 15*int64(len(b)) {
		t.Errorf("%v, %d bytes sent", err, n)
	}
}

// TestUploadLeaks: failures leave no goroutine and no connection behind.
func TestUploadLeaks(t *testing.T) {
	before := reftest.RunningNow(t)
	b := data(20_000_000)
	for _, rule := range []fake.Rule{{Match: "PATCH", Break: "stall", At: 1000}, {Match: "PATCH", Status: 413}, {Match: "PATCH", Break: "reset", At: 70_000}, {Match: "PUT", Status: 507}} {
		s, err := fake.Start(fake.Config{})
		must(t, err)
		s.Behave(fake.Behaviour{Push: true, Rules: []fake.Rule{rule}})
		c, err := New(Options{Timeout: 100 * time.Millisecond, Retries: -1})
		must(t, err)
		to, err := c.Target(parse(t, s.Host+"/r:v1"))
		must(t, err)
		if _, err := to.Upload(ctx, blobOf(b), Upload{Open: opener(b)}); err == nil {
			t.Errorf("%+v: no error", rule)
		}
		c.Close()
		s.Close()
	}
	before.Left(t)
}

// TestUploadStateLies: a registry that says that it has more than it was sent is not believed.
func TestUploadStateLies(t *testing.T) {
	b := data(5_000_000)
	for _, says := range []string{"0-4999999", "0-99999999", "7-9"} {
		s, to, _ := startPush(t, fake.Behaviour{Rules: []fake.Rule{{Match: "PATCH", Skip: 1, Times: 1, Status: 500}}}, Options{})
		s.Intercept(answering("GET /v2/r"+session, func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Range", says)
			w.WriteHeader(204)
			return true
		}))
		if _, err := uploadOf(to, b); err != nil || !bytes.Equal(s.Content("r", digest.FromBytes(b).String()), b) {
			t.Errorf("%s: %v", says, err)
		}
		if got := s.Stats().Requests["POST /v2/r/blobs/uploads/"]; got != 2 {
			t.Errorf("%s: %d sessions", says, got)
		}
	}
}
