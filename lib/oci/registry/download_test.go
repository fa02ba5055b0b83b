package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	fake "ocipipe/lib/reftest/registry"
)

// TestDownload: whatever a registry does with ranges and connections, the result is the
// blob or an error.
func TestDownload(t *testing.T) {
	big := data(5<<20 + 77)
	blob := func(r fake.Rule) fake.Behaviour {
		r.Match = "/blobs/"
		return fake.Behaviour{Rules: []fake.Rule{r}}
	}
	for _, c := range []struct {
		name string
		b    fake.Behaviour
		says string // of the error; "" if there is none
	}{
		{"good", fake.Behaviour{}, ""},
		{"resets", blob(fake.Rule{Break: "reset", Within: 1 << 20}), ""},
		{"closes", blob(fake.Rule{Break: "close", Within: 3 << 20}), ""},
		{"drops the first", blob(fake.Rule{Break: "drop", Times: 2}), ""},
		{"stalls once", blob(fake.Rule{Break: "stall", At: 300_000, Times: 1}), ""},
		{"ranges ignored", blob(fake.Rule{Range: "ignore"}), ""},
		{"ranges ignored and resets", fake.Behaviour{Rules: []fake.Rule{
			{Match: "/blobs/", Range: "ignore", Break: "reset", At: 2 << 20, Times: 1},
			{Match: "/blobs/", Range: "ignore"},
		}}, ""},
		{"ranges ignored later", fake.Behaviour{Rules: []fake.Rule{{Match: "/blobs/", Skip: 2, Range: "ignore"}}}, ""},
		{"ranges refused", blob(fake.Rule{Range: "refuse"}), ""},
		{"ranges called a bad request", fake.Behaviour{Rules: []fake.Rule{{Match: "Range: ", Status: 400}}}, ""},
		{"ranges not allowed", fake.Behaviour{Rules: []fake.Rule{{Match: "Range: ", Status: 405}}}, ""},
		{"ranges not implemented", fake.Behaviour{Rules: []fake.Rule{{Match: "Range: ", Status: 501}}}, ""},
		{"nothing implemented", blob(fake.Rule{Status: 501, Code: "UNSUPPORTED"}), "UNSUPPORTED"},
		{"short ranges", blob(fake.Rule{Range: "short"}), ""},
		{"other ranges", blob(fake.Rule{Range: "start"}), ""},
		{"no Content-Range", blob(fake.Rule{Range: "unlabeled"}), ""},
		{"multipart", blob(fake.Rule{Range: "multipart"}), ""},
		{"503 and 429", fake.Behaviour{Rules: []fake.Rule{
			{Match: "/blobs/", Times: 2, Status: 503}, {Match: "/blobs/", Times: 2, Status: 429}}}, ""},
		{"redirect", fake.Behaviour{Redirect: true}, ""},
		{"redirect and resets", fake.Behaviour{Redirect: true, Rules: []fake.Rule{{Match: "/store/", Break: "reset", Within: 2 << 20}}}, ""},
		{"slow pieces", blob(fake.Rule{Piece: 200_000, Pause: fake.Duration(20 * time.Millisecond)}), ""},
		{"missing", blob(fake.Rule{Status: 404, Code: "BLOB_UNKNOWN", Message: "gone"}), "registry: BLOB_UNKNOWN: gone (HTTP 404)"},
		{"denied", blob(fake.Rule{Status: 403, Code: "DENIED", Message: "not you"}), "DENIED: not you"},
		{"down", blob(fake.Rule{Status: 500}), "HTTP 500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, fake.Config{}, c.b)
			s.AddBlob(big)
			r, _ := open(t, s.Host, Options{Timeout: 300 * time.Millisecond, Connections: 4})
			b := blobOf(big)
			check := func(how string, got, want []byte, err error) {
				t.Helper()
				if c.says == "" && (err != nil || !bytes.Equal(got, want)) {
					t.Errorf("%s: %d bytes of %d, equal %v, %v", how, len(got), len(want), bytes.Equal(got, want), err)
				}
				if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
					t.Errorf("%s: %v, want %q", how, err, c.says)
				}
			}
			got, err := fetchAll(t, r, b)
			check("ranges", got, big, err)
			s.Behave(c.b)
			got, err = stream(r, b, 0)
			check("stream", got, big, err)
			s.Behave(c.b)
			got, err = stream(r, b, 1<<20+1)
			check("rest", got, big[1<<20+1:], err)
			s.Behave(c.b)
			got, err = fetchAll(t, r, b, Span{10, 20}, Span{2 << 20, 4<<20 + 5}, Span{b.Size - 1, b.Size})
			want := make([]byte, len(big))
			for _, m := range []Span{{10, 20}, {2 << 20, 4<<20 + 5}, {b.Size - 1, b.Size}} {
				copy(want[m.Off:m.End], big[m.Off:m.End])
			}
			check("gaps", got, want, err)
		})
	}
}

// TestResumeIsNoRestart: what has arrived is not asked for again.
func TestResumeIsNoRestart(t *testing.T) {
	big := data(8 << 20)
	for seed := range uint64(3) {
		s := start(t, fake.Config{}, fake.Behaviour{Seed: seed, Rules: []fake.Rule{{Match: "/blobs/", Break: "close", Within: 1 << 20}}})
		s.AddBlob(big)
		r, w := open(t, s.Host, Options{Connections: 3})
		b := blobOf(big)
		if got, err := stream(r, b, 0); err != nil || !bytes.Equal(got, big) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if got, err := fetchAll(t, r, b); err != nil || !bytes.Equal(got, big) {
			t.Fatal(err)
		}
		served := s.Stats().Blobs[b.Digest.String()]
		if served.Bytes > 2*b.Size+b.Size/8 || len(w.list) < 16 {
			t.Errorf("%d bytes were sent for twice %d, with %d retries", served.Bytes, b.Size, len(w.list))
		}
		for _, d := range w.list {
			if d > 4*minWait { // two breaks in a row may come soon
				t.Errorf("waited %s although bytes had come", d)
			}
		}
	}
}

// TestConnections: as many at once as are allowed, over all blobs, and kept alive.
func TestConnections(t *testing.T) {
	s := start(t, fake.Config{}, fake.Behaviour{Latency: fake.Duration(100 * time.Millisecond)})
	a, b := data(6<<20), data(6<<20+1)
	s.AddBlob(a)
	s.AddBlob(b)
	r, _ := open(t, s.Host, Options{Connections: 3})
	done := make(chan error)
	for _, x := range [][]byte{a, b} {
		go func() {
			got, err := fetchAll(t, r, blobOf(x))
			if err == nil && !bytes.Equal(got, x) {
				err = errors.New("other bytes")
			}
			done <- err
		}()
	}
	must(t, <-done)
	must(t, <-done)
	st := s.Stats()
	if st.Most != 3 || st.Connections > 3+2+3 { // two more may be dialled and not needed, and some tried TLS first
		t.Errorf("%d requests at once on %d connections", st.Most, st.Connections)
	}
	for _, v := range st.Blobs {
		if v.Again != 0 {
			t.Errorf("%d bytes came twice", v.Again)
		}
	}
	if got, err := fetchAll(t, r, blobOf(nil)); err != nil || len(got) != 0 {
		t.Errorf("nothing: %v", err)
	}
}

// TestWrongSize: a registry whose blob has another size is not tried again.
func TestWrongSize(t *testing.T) {
	big := data(3 << 20)
	for _, c := range []struct {
		name string
		rule fake.Rule
		size int64
	}{
		{"longer than the manifest says", fake.Rule{}, 3<<20 - 1},
		{"shorter than the manifest says", fake.Rule{}, 3<<20 + 1},
		{"total of a range", fake.Rule{Range: "total"}, 3 << 20},
	} {
		s := start(t, fake.Config{}, fake.Behaviour{Rules: []fake.Rule{c.rule}})
		s.AddBlob(big)
		r, w := open(t, s.Host, Options{})
		b := blobOf(big)
		b.Size = c.size
		_, err := fetchAll(t, r, b)
		if !errors.Is(err, ErrSize) && !errors.Is(err, ErrProtocol) || Temporary(err) || len(w.list) > 0 {
			t.Errorf("%s: %v (temporary %v) after %d retries", c.name, err, Temporary(err), len(w.list))
		}
	}
}

// TestWriteError: the function that takes the bytes fails.
func TestWriteError(t *testing.T) {
	big := data(4 << 20)
	s := start(t, fake.Config{}, fake.Behaviour{})
	s.AddBlob(big)
	r, w := open(t, s.Host, Options{Connections: 3})
	full := errors.New("full")
	err := r.Fetch(ctx, blobOf(big), []Span{{0, 4 << 20}}, func([]byte, int64) error { return full }, nil)
	if err != full || len(w.list) > 0 {
		t.Errorf("%v after %d retries", err, len(w.list))
	}
}

// TestCancel: a context ends requests, bodies and waits that would go on for long.
func TestCancel(t *testing.T) {
	big := data(4 << 20)
	for name, b := range map[string]fake.Behaviour{
		"answer": {Rules: []fake.Rule{{Match: "/blobs/", Wait: fake.Duration(time.Hour)}}},
		"body":   {Rules: []fake.Rule{{Match: "/blobs/", Break: "stall", At: 10}}},
		"wait":   {Rules: []fake.Rule{{Match: "/blobs/", Status: 503, RetryAfter: "60"}}},
	} {
		s := start(t, fake.Config{}, b)
		s.AddBlob(big)
		r, _ := open(t, s.Host, Options{Timeout: time.Hour})
		r.c.sleep = sleep
		why := errors.New("worthwhile")
		cctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
		fetched := make(chan error, 1)
		go func() { fetched <- r.Fetch(cctx, blobOf(big), []Span{{0, 4 << 20}}, newSink(4<<20).write, nil) }()
		select {
		case err := <-fetched:
			if !errors.Is(err, why) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("%s: still there", name)
		}
	}
}

// TestSlowIsNotStalled: a connection that is slower than the time limit, but
// does not stand still, is left alone.
func TestSlowIsNotStalled(t *testing.T) {
	small := data(300)
	s := start(t, fake.Config{}, fake.Behaviour{Rules: []fake.Rule{{Match: "/blobs/", Piece: 30, Pause: fake.Duration(150 * time.Millisecond)}}})
	s.AddBlob(small)
	r, w := open(t, s.Host, Options{Timeout: time.Second})
	if got, err := stream(r, blobOf(small), 0); err != nil || !bytes.Equal(got, small) || len(w.list) > 0 {
		t.Errorf("%d bytes, %v, %d retries", len(got), err, len(w.list))
	}
	s.Behave(fake.Behaviour{Rules: []fake.Rule{{Match: "/blobs/", Break: "stall", At: 30}}})
	small[0]++
	s.AddBlob(small)
	r, _ = open(t, s.Host, Options{Timeout: 50 * time.Millisecond, Retries: -1})
	_, err := stream(r, blobOf(small), 0)
	if !Temporary(err) || !strings.Contains(err.Error(), "connection stalled: nothing came for 50ms") {
		t.Errorf("stall: %v", err)
	}
}

// TestCloseDelimited: without a length, an early end of the connection is still found.
func TestCloseDelimited(t *testing.T) {
	small := data(1000)
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		if n++; n == 1 {
			io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n"+string(small[:400]))
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 206 Partial\r\nContent-Range: bytes 400-999/1000\r\nConnection: close\r\n\r\n%s", small[400:])
	}))
	defer s.Close()
	r, _ := open(t, strings.TrimPrefix(s.URL, "http://"), Options{})
	if got, err := stream(r, blobOf(small), 0); err != nil || !bytes.Equal(got, small) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestContentRange(t *testing.T) {
	for s, want := range map[string][3]int64{
		"bytes 0-9/10": {0, 10, 10}, "bytes 5-9/*": {5, 10, -1}, "Bytes 5-5/6": {5, 6, 6},
	} {
		from, to, total, ok := contentRange(s)
		if got := [3]int64{from, to, total}; !ok || got != want {
			t.Errorf("%q: %v %v, want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "bytes", "bytes */10", "bytes 0-9", "bytes 9-5/10", "bytes -5-9/10", "items 0-9/10", "bytes 0-99999999999999999999/1", "bytes 0-9223372036854775807/1"} {
		if from, to, total, ok := contentRange(s); ok {
			t.Errorf("%q passed as %d, %d, %d", s, from, to, total)
		}
	}
}
