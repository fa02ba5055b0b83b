package conn

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ocipipe/lib/oci/hosts"
)

// TestSending: a server that takes nothing, or does not answer, ends the exchange; a body that
// takes its time does not, and neither does an answer that was to be waited for.
func TestSending(t *testing.T) {
	const timeout = 200 * time.Millisecond
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/full":
			<-stop
		case "/silent":
			io.Copy(io.Discard, r.Body)
			<-stop
		case "/late":
			io.Copy(io.Discard, r.Body)
			time.Sleep(3 * timeout)
		default:
			io.Copy(io.Discard, r.Body)
		}
	}))
	defer server.Close()
	defer close(stop)
	certs, err := hosts.LoadCerts(hosts.Options{Dirs: []string{t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Certs: certs, Timeout: timeout})
	defer c.Close()
	large := bytes.Repeat([]byte{1}, 50_000_000)
	for _, tc := range []struct {
		path string
		body io.Reader
		wait time.Duration
		want string // in the error; "" for none
	}{
		{"/", bytes.NewReader(large), 0, ""},
		{"/", io.MultiReader(strings.NewReader("a"), pause(3*timeout), strings.NewReader("b")), 0, ""},
		{"/full", bytes.NewReader(large), 0, "nothing was taken for 200ms"},
		{"/silent", strings.NewReader("a"), 0, "no answer for 200ms"},
		{"/silent", nil, 0, "no answer for 200ms"},
		{"/late", strings.NewReader("a"), 10 * time.Second, ""},
		{"/late", strings.NewReader("a"), 0, "no answer for 200ms"},
	} {
		ctx := context.Background()
		if tc.wait > 0 {
			ctx = Patiently(ctx, tc.wait)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, server.URL+tc.path, tc.body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Send(req, hosts.Peer{Host: req.URL.Host})
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.path, err, tc.want)
		}
	}
}

type pause time.Duration

func (p pause) Read([]byte) (int, error) {
	time.Sleep(time.Duration(p))
	return 0, io.EOF
}
