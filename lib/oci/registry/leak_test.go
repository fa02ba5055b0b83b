package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// world has some hosts, by HOST:PORT, that record everything that they receive. Those with
// port 443 speak TLS.
type world struct {
	hosts map[string]http.HandlerFunc
	dial  map[string]string // where they really listen

	mu    sync.Mutex
	heard map[string][]string // by host: method, path and query, and the secrets that came
}

// secrets are texts that only some hosts may receive.
const (
	secret = "s3cret"
	basic  = "Basic bWU6czNjcmV0" // me:s3cret
	meAt   = `{"auths":{%q:{"auth":"bWU6czNjcmV0"}}}`
)

func newWorld(t *testing.T, hosts map[string]http.HandlerFunc) *world {
	t.Helper()
	w := &world{hosts: hosts, dial: map[string]string{}, heard: map[string][]string{}}
	for host, handle := range hosts {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			body, _ := io.ReadAll(req.Body)
			req.Body = io.NopCloser(strings.NewReader(string(body)))
			w.mu.Lock()
			w.heard[host] = append(w.heard[host], strings.TrimSpace(strings.Join([]string{req.Method, req.URL.String(), req.Header.Get("Authorization"), string(body)}, " ")))
			w.mu.Unlock()
			handle(rw, req)
		}))
		if strings.HasSuffix(host, ":443") {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		w.dial[host] = s.Listener.Addr().String()
	}
	return w
}

// enter makes r, and its redirects, use w. A client that speaks plain HTTP to port 443
// reaches the host that listens on port 80.
func (w *world) enter(r *Repository) {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if w.dial[addr] == "" {
			return noName(ctx, network, addr)
		}
		return new(net.Dialer).DialContext(ctx, network, w.dial[addr])
	}
	r.c.adapt = func(tr *http.Transport) {
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dial(ctx, network, strings.Replace(addr, ":443", ":80", 1))
		}
		tr.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			conf := tr.TLSClientConfig.Clone()
			conf.InsecureSkipVerify = true
			return tls.Client(conn, conf), nil
		}
	}
}

// told reports which of the hosts have heard s.
func (w *world) told(s string) (hosts []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for host, all := range w.heard {
		if slices.ContainsFunc(all, func(h string) bool { return strings.Contains(h, s) }) {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return hosts
}

func (w *world) asked(host string) bool { return w.requests(host) > 0 }

func (w *world) requests(host string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.heard[host])
}

// What hosts do.

// wants answers only requests with one of these headers, and challenges the others.
func wants(challenge string, answer http.HandlerFunc, auth ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if slices.Contains(auth, req.Header.Get("Authorization")) {
			answer(w, req)
			return
		}
		w.Header().Set("WWW-Authenticate", challenge)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

func sends(to string, code int) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, to, code) }
}

const registryHost = "registry.example:443"

// bearer is the registry whose token server is realm.
func bearer(realm string, answer http.HandlerFunc) http.HandlerFunc {
	return wants(fmt.Sprintf(`Bearer realm=%q,service="s"`, realm), answer, "Bearer good-token", "Bearer ZQ==")
}

// TestTokenServerRedirects: a token server can redirect only to hosts that the registry
// could redirect to, and no secret goes there.
func TestTokenServerRedirects(t *testing.T) {
	const password, identity = `{"auths":{"registry.example:443":{"auth":"bWU6czNjcmV0"}}}`, `{"auths":{"registry.example:443":{"identitytoken":"s3cret"}}}`
	good := says(`{"token":"good-token"}`)
	for _, c := range []struct {
		name, auth string
		realm      string // of the registry
		to         string // where auth.example leads, by code
		code       int
		refused    string // the error; "" if the token is to be had
		told       []string
	}{
		{"to another host", password, "https://auth.example/token", "https://other.example/token", 302, "", []string{"auth.example:443"}},
		{"to another name of the host", password, "https://auth.example/token", "https://sub.auth.example/token", 302, "", []string{"auth.example:443"}},
		{"to a host without TLS", password, "https://auth.example/token", "http://plain.example/token", 302, "not allowed", []string{"auth.example:443"}},
		{"to itself without TLS", password, "https://auth.example/token", "http://auth.example/token", 302, "not allowed", []string{"auth.example:443"}},
		{"to a private address", password, "https://auth.example/token", "https://10.0.0.9/token", 302, "private or link-local", []string{"auth.example:443"}},
		{"to a metadata service", "{}", "https://auth.example/token", "https://169.254.169.254/token", 302, "private or link-local", nil},
		{"to a metadata service without TLS", "{}", "https://auth.example/token", "http://169.254.169.254/token", 302, "not allowed", nil},
		{"to an address in one number", "{}", "https://auth.example/token", "https://2852039166/token", 302, "private or link-local", nil},
		{"an identity token", identity, "https://auth.example/token", "https://other.example/token", 307, "redirects an identity token", []string{"auth.example:443"}},
		{"an identity token, permanently", identity, "https://auth.example/token", "https://other.example/token", 308, "redirects an identity token", []string{"auth.example:443"}},
		{"for ever", "{}", "https://auth.example/token", "https://auth.example/token", 302, "stopped after 10 redirects", nil},
		{"a realm at a private address", password, "https://10.0.0.9/token", "", 0, "private or link-local", nil},
		{"a realm without TLS", password, "http://plain.example/token", "", 0, "not allowed", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, map[string]http.HandlerFunc{
				registryHost:           bearer(c.realm, says("{}")),
				"auth.example:443":     sends(c.to+"?signed=hush", c.code),
				"auth.example:80":      good,
				"other.example:443":    good,
				"sub.auth.example:443": good,
				"plain.example:80":     good,
				"10.0.0.9:443":         good,
				"169.254.169.254:443":  good,
				"169.254.169.254:80":   good,
				"2852039166:443":       good,
			})
			r, _ := open(t, registryHost, Options{AuthFiles: []string{authFileOf(t, "", c.auth)}})
			w.enter(r)
			_, err := r.Manifest(ctx, "v1", 100, nil)
			switch {
			case c.refused == "" && err != nil:
				t.Error(err)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused) || Temporary(err) || strings.Contains(err.Error(), "hush")):
				t.Errorf("%v (temporary %v), want %q", err, Temporary(err), c.refused)
			}
			told := slices.Concat(w.told(basic), w.told(secret))
			slices.Sort(told)
			if told = slices.Compact(told); !slices.Equal(told, c.told) {
				t.Errorf("the secret went to %q, want %q", told, c.told)
			}
			for host := range w.hosts {
				if c.refused != "" && host != registryHost && host != "auth.example:443" && w.asked(host) {
					t.Errorf("%s was asked", host)
				}
			}
		})
	}
}

// TestTokenNames: only the fields that the protocol names are taken for a token and sent to
// the registry.
func TestTokenNames(t *testing.T) {
	for text, want := range map[string]string{
		`{"token":"good-token"}`:                   "Bearer good-token",
		`{"access_token":"good-token"}`:            "Bearer good-token",
		`{"token":"","access_token":"good-token"}`: "Bearer good-token",
		`{"Token":"of-the-cloud"}`:                 "",
		`{"TOKEN":"of-the-cloud"}`:                 "",
		`{"Access_Token":"of-the-cloud"}`:          "",
		`{"toKen":"of-the-cloud"}`:                 "", // the Kelvin sign, which folds to k
		`{"Token":"of-the-cloud","expires_in":1}`:  "",
		`{"token":{"a":"of-the-cloud"}}`:           "",
		`{"token":"of-the-cloud\r\nX-Evil: y"}`:    "",
		`["of-the-cloud"]`:                         "",
		`of-the-cloud`:                             "",
		``:                                         "",
		`{"pad":"` + strings.Repeat("x", 100_000) + `","token":"of-the-cloud"}`: "",
	} {
		w := newWorld(t, map[string]http.HandlerFunc{registryHost: bearer("https://auth.example/token", says("{}")), "auth.example:443": says(text)})
		r, _ := open(t, registryHost, Options{})
		w.enter(r)
		_, err := r.Manifest(ctx, "v1", 100, nil)
		if (err == nil) != (want != "") || err != nil && (!strings.Contains(err.Error(), "token server auth.example: wrong answer: it has no token") || strings.Contains(err.Error(), "cloud")) {
			t.Errorf("%.40s: %v", text, err)
		}
		if w.told("of-the-cloud") != nil || want != "" && w.told(want) == nil {
			t.Errorf("%.40s: the registry was told %q", text, w.heard[registryHost])
		}
	}
}

// TestTokenServerHangs: the wait for a token server is no longer than for a registry.
func TestTokenServerHangs(t *testing.T) {
	for name, hang := range map[string]http.HandlerFunc{
		"at once":       func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() },
		"in its answer": func(w http.ResponseWriter, req *http.Request) { w.(http.Flusher).Flush(); <-req.Context().Done() },
	} {
		w := newWorld(t, map[string]http.HandlerFunc{registryHost: bearer("https://auth.example/token", says("{}")), "auth.example:443": hang})
		r, waits := open(t, registryHost, Options{Timeout: 200 * time.Millisecond, Retries: 1})
		w.enter(r)
		_, err := r.Manifest(ctx, "v1", 100, nil)
		if !Temporary(err) || !strings.Contains(err.Error(), "token server auth.example: ") || errors.Is(err, ErrProtocol) || len(waits.list) != 1 {
			t.Errorf("%s: %v after %d retries", name, err, len(waits.list))
		}
	}
}

// TestElsewhere: after a redirect the client is anonymous, whatever credentials are stored
// for that host, and whatever it asks for.
func TestElsewhere(t *testing.T) {
	blob := data(10)
	const store = "store.example:443"
	for _, c := range []struct {
		name  string
		store http.HandlerFunc
		auth  http.HandlerFunc
		says  string
	}{
		{"takes anybody", says(string(blob)), nil, ""},
		{"asks for a password", wants(`Basic realm="x"`, says(string(blob)), basic), nil, "HTTP 401"},
		{"asks for a token, which anybody gets", bearer("https://auth.example/token", says(string(blob))), says(`{"token":"good-token"}`), ""},
		{"asks for a token, which takes a password", bearer("https://auth.example/token", says(string(blob))),
			wants(`Basic realm="x"`, says(`{"token":"good-token"}`), basic), "token server auth.example: "},
		{"asks for nothing in particular", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, nil, "HTTP 401"},
		{"asks for a token of a plain server", bearer("http://plain.example/token", says(string(blob))), nil, "not allowed"},
	} {
		for _, registry := range map[string]http.HandlerFunc{
			"basic":  wants(`Basic realm="x"`, sends("https://"+store+"/v2/r/blobs/x", 307), basic),
			"bearer": bearer("https://"+registryHost+"/token", sends("https://"+store+"/v2/r/blobs/x", 307)),
		} {
			t.Run(c.name, func(t *testing.T) {
				hosts := map[string]http.HandlerFunc{registryHost: func(w http.ResponseWriter, req *http.Request) {
					if req.URL.Path == "/token" {
						wants("Basic", says(`{"token":"ZQ=="}`), basic)(w, req)
						return
					}
					registry(w, req)
				}, store: c.store, "plain.example:80": says(`{"token":"good-token"}`)}
				if c.auth != nil {
					hosts["auth.example:443"] = c.auth
				}
				w := newWorld(t, hosts)
				all := `{"auths":{"registry.example:443":{"auth":"bWU6czNjcmV0"},"store.example":{"auth":"bWU6czNjcmV0"},"store.example:443":{"auth":"bWU6czNjcmV0"},"auth.example":{"auth":"bWU6czNjcmV0"}}}`
				r, _ := open(t, registryHost, Options{AuthFiles: []string{authFileOf(t, "", all)}})
				w.enter(r)
				_, err := fetchAll(t, r, blobOf(blob))
				if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || Temporary(err)) {
					t.Errorf("%v, want %q", err, c.says)
				}
				if slices.Contains(w.heard[store], "GET /v2/") {
					t.Error("somebody tried to log in at the store")
				}
				for _, s := range []string{basic, "Bearer ZQ=="} {
					if told := w.told(s); len(told) > 1 || len(told) == 1 && told[0] != registryHost {
						t.Errorf("%s went to %q", s, told)
					}
				}
				if w.told(basic) == nil || !w.asked(store) || w.asked("plain.example:80") {
					t.Errorf("nothing was tested: %q", w.heard)
				}
			})
		}
	}
}

// TestNoStepDown: a request by TLS is never answered without TLS, unless the user has
// allowed that, and then it has no credentials.
func TestNoStepDown(t *testing.T) {
	blob := data(10)
	ways := map[string]func(r *Repository) error{
		"manifest": func(r *Repository) error { _, err := r.Manifest(ctx, "v1", 100, nil); return err },
		"digest":   func(r *Repository) error { _, err := r.Resolve(ctx, "v1", nil); return err },
		"blob":     func(r *Repository) error { _, err := fetchAll(t, r, blobOf(blob)); return err },
		"stream":   func(r *Repository) error { _, err := stream(r, blobOf(blob), 0); return err },
	}
	for name, get := range ways {
		for _, to := range []string{"http://registry.example:443/x", "http://registry.example/x", "http://plain.example/x"} {
			for _, insecure := range []bool{false, true} {
				plain := wants(`Basic realm="x"`, says(string(blob)), "")
				w := newWorld(t, map[string]http.HandlerFunc{
					registryHost:          wants(`Basic realm="x"`, sends(to, 302), basic),
					"registry.example:80": plain,
					"plain.example:80":    plain,
				})
				r, _ := open(t, registryHost, Options{Username: "me", Password: secret, Insecure: insecure})
				w.enter(r)
				err := get(r)
				stepped := w.asked("plain.example:80") || w.asked("registry.example:80")
				var e *Error
				switch {
				case insecure && (err != nil || !stepped):
					t.Errorf("%s to %s, insecure: %v", name, to, err)
				case !insecure && (err == nil || stepped || Temporary(err) || !asError(err, &e) || e.Remedy != AllowHTTP || !strings.Contains(err.Error(), "without TLS")):
					t.Errorf("%s to %s: %v, asked %v", name, to, err, stepped)
				}
				if told := w.told(basic); len(told) != 1 || told[0] != registryHost {
					t.Errorf("%s to %s: the password went to %q", name, to, told)
				}
			}
		}
	}
}

// TestPing: the request for a challenge is held to the same rules.
func TestPing(t *testing.T) {
	for _, insecure := range []bool{false, true} {
		for _, to := range []string{"http://registry.example/v2/", "http://plain.example/v2/"} {
			plain := wants(`Basic realm="x"`, says("{}"), basic)
			w := newWorld(t, map[string]http.HandlerFunc{
				registryHost: func(w http.ResponseWriter, req *http.Request) {
					if req.URL.Path == "/v2/" {
						http.Redirect(w, req, to, 302)
						return
					}
					w.WriteHeader(404)
				},
				"registry.example:80": plain,
				"plain.example:80":    plain,
			})
			r, _ := open(t, registryHost, Options{Username: "me", Password: secret, Insecure: insecure})
			w.enter(r)
			_, err := r.Manifest(ctx, "v1", 100, nil)
			if err == nil || !strings.Contains(err.Error(), "without TLS") || Temporary(err) || w.told(basic) != nil || w.asked("plain.example:80") || w.asked("registry.example:80") {
				t.Errorf("%s: %v, heard %q", to, err, w.heard)
			}
		}
	}
}

// TestPingAnswers: registries that hide what they have from strangers, without a word
// of how to log in, and answer a ping in their own way.
func TestPingAnswers(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for range 64 << 10 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}
	code := func(n int) http.HandlerFunc { return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) } }
	for _, c := range []struct {
		name, user string
		refusal    int
		ping       http.HandlerFunc
		pings      int
		says       string
		temporary  bool
	}{
		{"in order", "me", 404, wants(`Basic realm="x"`, says(""), ""), 1, "", false},
		{"nothing of interest", "me", 404, says("{}"), 1, "", false},
		{"at great length", "me", 404, endless, 1, "", false},
		{"not found", "me", 404, code(404), 1, "", false},
		{"denied", "me", 404, code(403), 1, "", false},
		{"nobody to log in", "", 404, says("{}"), 0, "HTTP 404", false},
		{"down", "me", 404, code(503), 2, "registry: Service Unavailable (HTTP 503)", true},
		{"busy", "me", 404, code(429), 2, "HTTP 429", true},
		{"another user", "you", 404, says("{}"), 1, "HTTP 404", false},
		{"nothing anybody could do", "", 401, says("{}"), 1, "HTTP 401", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, map[string]http.HandlerFunc{registryHost: func(w http.ResponseWriter, req *http.Request) {
				switch {
				case req.URL.Path == "/v2/":
					c.ping(w, req)
				case req.Header.Get("Authorization") != basic:
					w.WriteHeader(c.refusal)
				}
			}})
			opts := Options{Retries: -1}
			if c.user != "" {
				opts.Username, opts.Password = c.user, secret
			}
			r, _ := open(t, registryHost, opts)
			w.enter(r)
			for range 2 { // who has answered is not asked again
				_, err := r.Manifest(ctx, "v1", 100, nil)
				if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || Temporary(err) != c.temporary) {
					t.Errorf("%v, want %q", err, c.says)
				}
			}
			pings := 0
			for _, h := range w.heard[registryHost] {
				if strings.HasPrefix(h, "GET /v2/ ") || h == "GET /v2/" {
					pings++
				}
			}
			if pings != c.pings {
				t.Errorf("%d pings, want %d: %q", pings, c.pings, w.heard)
			}
		})
	}
}

// TestTokenIsSecret: a registry that sends a token back.
func TestTokenIsSecret(t *testing.T) {
	w := newWorld(t, map[string]http.HandlerFunc{
		registryHost: bearer("https://auth.example/token", func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusGone)
			io.WriteString(w, "gone for "+req.Header.Get("Authorization"))
		}),
		"auth.example:443": says(`{"token":"good-token"}`),
	})
	r, _ := open(t, registryHost, Options{})
	w.enter(r)
	if _, err := r.Manifest(ctx, "v1", 100, nil); err == nil || !strings.Contains(err.Error(), "gone for Bearer ***") {
		t.Errorf("%v", err)
	}
}

// TestLoginsAreApart: a login is that of a repository, at a registry or at a mirror,
// even where these are one host.
func TestLoginsAreApart(t *testing.T) {
	scopes := map[string]string{"/v2/a/manifests/v1": "repository:a:pull", "/v2/b/c/manifests/v1": "repository:b/c:pull"}
	registry := func(w http.ResponseWriter, req *http.Request) {
		scope, ok := scopes[req.URL.Path]
		switch {
		case req.URL.Path == "/token":
			asked := req.URL.Query()["scope"]
			io.WriteString(w, `{"token":"for `+strings.Join(asked, " ")+`"}`)
		case !ok && req.URL.Path != "/v2/":
			w.WriteHeader(404)
		case ok && slices.Contains(strings.Fields(req.Header.Get("Authorization")), scope):
			io.WriteString(w, "{}")
		case req.Header.Get("Authorization") != "": // as some do it
			w.WriteHeader(http.StatusForbidden)
		case ok: // without a challenge: what the ping says is about no repository
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+registryHost+`/token",scope="registry:catalog:*"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	w := newWorld(t, map[string]http.HandlerFunc{registryHost: registry})
	a, _ := open(t, registryHost, Options{})
	w.enter(a)
	for _, name := range []string{"a", "b/c", "a"} {
		r := repository(t, a.c, registryHost+"/"+name)
		if _, err := r.Manifest(ctx, "v1", 100, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	const mirror = "registry.example/mirror"
	me, other := basic, "Basic b3RoZXI6b25l" // other:one
	for _, c := range []struct{ name, auth string }{{"mirror without credentials", "{}"}, {"mirror with others", `{"auths":{"registry.example/mirror":{"auth":"b3RoZXI6b25l"}}}`}} {
		host := func(w http.ResponseWriter, req *http.Request) {
			path, _ := strings.CutSuffix(req.URL.Path, "/r/manifests/v1")
			wants(`Basic realm="x"`, says("{}"), map[string]string{"/v2": me, "/v2/mirror": "nobody's"}[path])(w, req)
		}
		w := newWorld(t, map[string]http.HandlerFunc{"registry.example:443": host, "other.example:443": host})
		for _, at := range []string{mirror, "other.example/mirror"} {
			r, _ := open(t, "registry.example", Options{Username: "me", Password: secret, Mirrors: []string{at}, AuthFiles: []string{authFileOf(t, "", c.auth)}})
			w.enter(r)
			if _, err := r.Manifest(ctx, "v1", 100, nil); err != nil {
				t.Errorf("%s, %s: %v", c.name, at, err)
			}
		}
		for at, all := range w.heard {
			for _, h := range all {
				if strings.Contains(h, "/mirror/") && strings.Contains(h, me) || !strings.Contains(h, "/mirror/") && strings.Contains(h, other) {
					t.Errorf("%s: %s heard %q", c.name, at, h)
				}
			}
		}
		if c.auth != "{}" && w.told(other) == nil {
			t.Errorf("%s: what is stored for the mirror was not used", c.name)
		}
	}
}
