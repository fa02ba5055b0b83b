package registry

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var layer = Layer(1, 10_000)

// start serves an image r:v1 of one layer.
func start(t *testing.T, c Config) (*Server, Image) {
	t.Helper()
	s, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, s.AddImage("r", "v1", layer)
}

// answer is what a request gave.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of the request, or of reading the body
}

// get asks for url; header holds pairs of a name and a value.
func get(t *testing.T, method, url string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), err}
}

func TestGood(t *testing.T) {
	s, img := start(t, Config{})
	base := "http://" + s.Host + "/v2/r/"
	m := get(t, "GET", base+"manifests/v1")
	if m.status != 200 || m.header.Get("Content-Type") != "application/vnd.oci.image.manifest.v1+json" || m.header.Get("Docker-Content-Digest") != img.Manifest {
		t.Errorf("%+v", m)
	}
	if d := get(t, "GET", base+"manifests/"+img.Manifest); d.body != m.body || d.body == "" {
		t.Errorf("by digest: %+v", d)
	}
	if b := get(t, "GET", base+"blobs/"+img.Layers[0]); b.body != string(layer) || b.err != nil {
		t.Errorf("blob: %d, %v", b.status, b.err)
	}
	if b := get(t, "GET", base+"blobs/"+img.Layers[0], "Range", "bytes=100-199"); b.status != 206 || b.body != string(layer[100:200]) ||
		b.header.Get("Content-Range") != fmt.Sprintf("bytes 100-199/%d", len(layer)) {
		t.Errorf("range: %+v", b)
	}
	if b := get(t, "HEAD", base+"blobs/"+img.Layers[0]); b.status != 200 || b.header.Get("Content-Length") != strconv.Itoa(len(layer)) {
		t.Errorf("head: %+v", b)
	}
	for path, says := range map[string]string{"manifests/v2": "MANIFEST_UNKNOWN", "blobs/sha256:00": "BLOB_UNKNOWN", "other": "UNSUPPORTED", "s/manifests/v1": "NAME_UNKNOWN", "s/blobs/" + img.Layers[0]: "NAME_UNKNOWN"} {
		if b := get(t, "GET", base+path); b.status != 404 || !strings.Contains(b.body, says) {
			t.Errorf("%s: %+v", path, b)
		}
	}
	want := Served{Size: int64(len(layer)), Bytes: int64(len(layer) + 100), Unique: int64(len(layer)), Again: 100,
		Spans: []Span{{0, 100, 1}, {100, 200, 2}, {200, int64(len(layer)), 1}}}
	if v := s.Stats().Blobs[img.Layers[0]]; !reflect.DeepEqual(v, want) {
		t.Errorf("served %+v, want %+v", v, want)
	}
	if n := s.Stats().Requests["GET /v2/r/blobs/"+img.Layers[0]]; n != 2 {
		t.Errorf("%d requests", n)
	}
	s.Reset()
	if st := s.Stats(); len(st.Blobs) != 0 || len(st.Requests) != 0 || st.Connections != 0 {
		t.Errorf("after Reset: %+v", st)
	}
}

func TestRules(t *testing.T) {
	size := len(layer)
	flipped := bytes.Clone(layer)
	flipped[500] ^= 1
	for _, c := range []struct {
		name   string
		rule   Rule
		asked  string // Range
		status int
		body   string // of the blob, "ERROR" where anything will do
		err    error
	}{
		{"none", Rule{Match: "other", Status: 503}, "", 200, string(layer), nil},
		{"status", Rule{Status: 503}, "", 503, "ERROR", nil},
		{"drop", Rule{Break: "drop"}, "", 0, "", syscall.ECONNRESET},
		{"reset", Rule{Break: "reset", At: 1000}, "", 200, string(layer[:1000]), syscall.ECONNRESET},
		{"reset at once", Rule{Break: "reset"}, "", 200, "", syscall.ECONNRESET},
		{"close", Rule{Break: "close", At: 1000}, "", 200, string(layer[:1000]), io.ErrUnexpectedEOF},
		{"longer than said", Rule{Length: -10}, "", 200, string(layer[:size-10]), nil},
		{"shorter than said", Rule{Length: 10}, "", 200, string(layer), io.ErrUnexpectedEOF},
		{"flipped", Rule{Flip: 501}, "", 200, string(flipped), nil},
		{"flipped in a range", Rule{Flip: 501}, "bytes=500-", 206, string(flipped[500:]), nil},
		{"flipped elsewhere", Rule{Flip: 501}, "bytes=501-", 206, string(layer[501:]), nil},
		{"drip", Rule{Piece: 5000, Pause: Duration(time.Millisecond)}, "", 200, string(layer), nil},
		{"range ignored", Rule{Range: "ignore"}, "bytes=5-", 200, string(layer), nil},
		{"range refused", Rule{Range: "refuse"}, "bytes=5-", 416, "ERROR", nil},
		{"range behind", Rule{}, "bytes=99999-", 416, "ERROR", nil},
		{"short", Rule{Range: "short"}, "bytes=0-9", 206, string(layer[:5]), nil},
		{"start", Rule{Range: "start"}, "bytes=5-9", 206, string(layer[:5]), nil},
		{"lie", Rule{Range: "lie"}, "bytes=5-9", 206, string(layer[:5]), nil},
		{"total", Rule{Range: "total"}, "bytes=5-9", 206, string(layer[5:10]), nil},
		{"unlabeled", Rule{Range: "unlabeled"}, "bytes=5-9", 206, string(layer[5:10]), nil},
		{"multipart", Rule{Range: "multipart"}, "bytes=5-9", 206, "ERROR", nil},
		{"only a range", Rule{Match: "Range: bytes=5-", Status: 503}, "bytes=5-9", 503, "ERROR", nil},
		{"only a range, without", Rule{Match: "Range: bytes=5-", Status: 503}, "", 200, string(layer), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, img := start(t, Config{})
			s.Behave(Behaviour{Rules: []Rule{c.rule}})
			var header []string
			if c.asked != "" {
				header = []string{"Range", c.asked}
			}
			a := get(t, "GET", "http://"+s.Host+"/v2/r/blobs/"+img.Layers[0], header...)
			if a.status != c.status || c.body != "ERROR" && a.body != c.body || !errors.Is(a.err, c.err) {
				t.Errorf("%d, %d bytes, %v; want %d, %d bytes, %v", a.status, len(a.body), a.err, c.status, len(c.body), c.err)
			}
			want := map[string]string{
				"start": fmt.Sprintf("bytes 0-4/%d", size), "lie": fmt.Sprintf("bytes 5-9/%d", size), "short": fmt.Sprintf("bytes 0-4/%d", size),
				"total": fmt.Sprintf("bytes 5-9/%d", size+1000), "refuse": fmt.Sprintf("bytes */%d", size),
			}[c.rule.Range]
			if have := a.header.Get("Content-Range"); want != "" && have != want || c.rule.Range == "unlabeled" && have != "" {
				t.Errorf("Content-Range: %q, want %q", have, want)
			}
			if c.rule.Range == "multipart" && !strings.Contains(a.body, fmt.Sprintf("bytes 5-9/%d\r\n\r\n%s\r\n", size, layer[5:10])) {
				t.Errorf("parts: %q", a.body)
			}
		})
	}
}

// TestTurns: rules count, and the random ones repeat with their seed.
func TestTurns(t *testing.T) {
	s, img := start(t, Config{})
	url := "http://" + s.Host + "/v2/r/blobs/" + img.Layers[0]
	s.Behave(Behaviour{Rules: []Rule{
		{Match: "/blobs/", Skip: 1, Times: 2, Status: 429, RetryAfter: "7", Code: "TOOMANYREQUESTS", Message: "slow down"},
		{Match: "/blobs/", Times: 1, Status: 503, RetryAfter: "date:1h"},
	}})
	var got []int
	for range 5 {
		a := get(t, "GET", url)
		got = append(got, a.status)
		switch after := a.header.Get("Retry-After"); a.status {
		case 429:
			if after != "7" || !strings.Contains(a.body, `"code":"TOOMANYREQUESTS","message":"slow down"`) {
				t.Errorf("%+v", a)
			}
		case 503:
			if at, err := http.ParseTime(after); err != nil || time.Until(at) < 50*time.Minute {
				t.Errorf("%+v", a)
			}
		}
	}
	if want := []int{503, 429, 429, 200, 200}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	var lengths [2][]int
	for i := range lengths {
		s.Behave(Behaviour{Seed: 3, Rules: []Rule{{Break: "reset", Within: 10_000}}})
		for range 4 {
			lengths[i] = append(lengths[i], len(get(t, "GET", url).body))
		}
	}
	if l := lengths[0]; !reflect.DeepEqual(l, lengths[1]) || l[0] == l[1] && l[1] == l[2] {
		t.Errorf("%v", lengths)
	}
}

func TestStall(t *testing.T) {
	s, img := start(t, Config{})
	s.Behave(Behaviour{Rules: []Rule{{Break: "stall", At: 100}}})
	resp, err := http.Get("http://" + s.Host + "/v2/r/blobs/" + img.Layers[0])
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(resp.Body, make([]byte, 100)); err != nil {
		t.Error(n, err)
	}
	more := make(chan int)
	go func() { n, _ := resp.Body.Read(make([]byte, 1)); more <- n }()
	select {
	case n := <-more:
		t.Errorf("%d more", n)
	case <-time.After(50 * time.Millisecond):
	}
	resp.Body.Close()
	<-more
}

// TestRate: neither more nor, by far, less than the rate and the latency.
func TestRate(t *testing.T) {
	s, img := start(t, Config{})
	s.Behave(Behaviour{Rate: 50_000, Latency: Duration(100 * time.Millisecond)})
	begin := time.Now()
	if a := get(t, "GET", "http://"+s.Host+"/v2/r/blobs/"+img.Layers[0]); a.body != string(layer) {
		t.Errorf("%+v", a)
	}
	if took := time.Since(begin); took < 250*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestRedirect(t *testing.T) {
	s, img := start(t, Config{})
	s.Behave(Behaviour{Redirect: true})
	a := get(t, "GET", "http://"+s.Host+"/v2/r/blobs/"+img.Layers[0])
	to := a.header.Get("Location")
	if a.status != 307 || !strings.HasPrefix(to, "http://"+s.Storage+"/") || s.Host == s.Storage {
		t.Fatalf("%+v", a)
	}
	if a := get(t, "GET", to); a.body != string(layer) {
		t.Errorf("%+v", a)
	}
	if a := get(t, "GET", to, "Authorization", "Bearer x"); a.status != 400 || s.Stats().Leaks != 1 {
		t.Errorf("%+v", a)
	}
	s.Behave(Behaviour{Redirect: true, RedirectUses: 1})
	a = get(t, "GET", "http://"+s.Host+"/v2/r/blobs/"+img.Layers[0])
	for _, want := range []int{200, 403} {
		if a := get(t, "GET", a.header.Get("Location")); a.status != want {
			t.Errorf("%d was expected: %+v", want, a)
		}
	}
	if a := get(t, "GET", "http://"+s.Storage+"/store/"+img.Layers[0]+"?key=none"); a.status != 403 {
		t.Errorf("no key: %+v", a)
	}
}

func TestAuth(t *testing.T) {
	s, _ := start(t, Config{})
	base := "http://" + s.Host
	s.Behave(Behaviour{Auth: "basic", User: "me", Password: "secret"})
	for auth, status := range map[string]int{"": 401, "Basic bWU6c2VjcmV0": 200, "Basic bWU6d3Jvbmc=": 401} {
		if a := get(t, "GET", base+"/v2/r/manifests/v1", "Authorization", auth); a.status != status || status == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic realm=") {
			t.Errorf("basic %q: %+v", auth, a)
		}
	}
	s.Behave(Behaviour{Auth: "bearer", User: "me", Password: "secret", IdentityToken: "id", ExpiresIn: 3600, TokenField: "access_token"})
	a := get(t, "GET", base+"/v2/r/manifests/v1")
	if want := `Bearer realm="` + base + `/token",service="test, with a comma",scope="repository:r:pull"`; a.status != 401 || a.header.Get("WWW-Authenticate") != want {
		t.Errorf("%+v", a)
	}
	const query = "/token?service=x&scope=repository:r:pull"
	if a := get(t, "GET", base+query); a.status != 401 {
		t.Errorf("without a password: %+v", a)
	}
	var given struct {
		Token       string
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	a = get(t, "GET", base+query, "Authorization", "Basic bWU6c2VjcmV0")
	if json.Unmarshal([]byte(a.body), &given); given.AccessToken == "" || given.Token != "" || given.ExpiresIn != 3600 {
		t.Errorf("%+v", a)
	}
	bearer := "Bearer " + given.AccessToken
	if a := get(t, "GET", base+"/v2/r/manifests/v1", "Authorization", bearer); a.status != 200 {
		t.Errorf("%+v", a)
	}
	if a := get(t, "GET", base+"/v2/other/manifests/v1", "Authorization", bearer); a.status != 401 {
		t.Errorf("another scope: %+v", a)
	}
	s.Behave(Behaviour{Auth: "bearer", User: "me", Password: "secret", IdentityToken: "id", TokenUses: 1, ExpiresIn: 1, TokenField: "access_token"})
	a = get(t, "GET", base+query, "Authorization", "Basic bWU6c2VjcmV0")
	if json.Unmarshal([]byte(a.body), &given); given.ExpiresIn != 1 {
		t.Errorf("%+v", a)
	}
	for expired, status := range []int{200, 401} {
		if a := get(t, "GET", base+"/v2/r/manifests/v1", "Authorization", "Bearer "+given.AccessToken); a.status != status || s.Stats().Expired != expired {
			t.Errorf("%d was expected: %+v", status, a)
		}
	}
	for id, status := range map[string]int{"id": 200, "wrong": 401} {
		resp, err := http.PostForm(base+"/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {id}})
		if err != nil || resp.StatusCode != status {
			t.Errorf("identity token %q: %v, %v", id, resp, err)
		}
	}
	s.Behave(Behaviour{Auth: "bearer", Challenge: "Bearer service=x,realm={realm}"})
	if a := get(t, "GET", base+query); !strings.Contains(a.body, `"token"`) || strings.Contains(a.body, "expires_in") {
		t.Errorf("anonymous: %+v", a)
	}
	if a := get(t, "GET", base+"/v2/"); a.header.Get("WWW-Authenticate") != "Bearer service=x,realm="+base+"/token" {
		t.Errorf("%+v", a)
	}
}

func TestTLS(t *testing.T) {
	s, _ := start(t, Config{TLS: true, ClientCert: true, HTTP2: true})
	dir := t.TempDir()
	if err := s.Certs.Write(dir); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	ca, _ := os.ReadFile(filepath.Join(dir, "ca.pem"))
	pool.AppendCertsFromPEM(ca)
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		conf *tls.Config
		ok   bool
	}{
		{"good", &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}, true},
		{"no certificate", &tls.Config{RootCAs: pool}, false},
		{"no authority", &tls.Config{Certificates: []tls.Certificate{cert}}, false},
	} {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: c.conf, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
		resp, err := client.Get("https://" + s.Host + "/v2/")
		if (err == nil) != c.ok || err == nil && resp.Proto != "HTTP/2.0" {
			t.Errorf("%s: %v, %v", c.name, resp, err)
		}
	}
}

func TestControl(t *testing.T) {
	s, _ := start(t, Config{})
	put := func(body string) int {
		req, _ := http.NewRequest("PUT", "http://"+s.Control+"/behave", strings.NewReader(body))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if n := put(`{"Latency":"1ms","Rules":[{"Match":"v1","Status":500}]}`); n != 200 {
		t.Error(n)
	}
	if a := get(t, "GET", "http://"+s.Host+"/v2/r/manifests/v1"); a.status != 500 {
		t.Errorf("%+v", a)
	}
	for _, bad := range []string{"", `{"Rulez":1}`, `{"Auth":"x"}`, `{"Rules":[{"Break":"x"}]}`, `{"Rules":[{"Range":"x"}]}`, `{"TokenField":"x"}`} {
		if n := put(bad); n != 400 {
			t.Errorf("%q: %d", bad, n)
		}
	}
	a := get(t, "GET", "http://"+s.Control+"/stats")
	if !strings.Contains(a.body, `"GET /v2/r/manifests/v1": 1`) {
		t.Errorf("%+v", a)
	}
}

func TestLayout(t *testing.T) {
	s, img := start(t, Config{})
	dir := t.TempDir()
	if err := s.WriteLayout(dir); err != nil {
		t.Fatal(err)
	}
	other, err := Start(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.AddLayout("a/b", dir); err != nil {
		t.Fatal(err)
	}
	if a := get(t, "GET", "http://"+other.Host+"/v2/a/b/manifests/v1"); a.header.Get("Docker-Content-Digest") != img.Manifest {
		t.Errorf("%+v", a)
	}
	if a := get(t, "GET", "http://"+other.Host+"/v2/a/b/blobs/"+img.Layers[0]); a.body != string(layer) {
		t.Errorf("%d", a.status)
	}
}
