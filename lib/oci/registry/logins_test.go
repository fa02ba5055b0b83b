package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// expiring is a registry whose tokens are good until n changes, and then answers as
// refuse does.
func expiring(n *atomic.Int32, refuse, answer http.HandlerFunc) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		registryHost: func(w http.ResponseWriter, req *http.Request) {
			switch req.Header.Get("Authorization") {
			case fmt.Sprintf("Bearer t%d", n.Load()):
				answer(w, req)
			case "":
				wants(`Bearer realm="https://auth.example/token",service="s"`, nil)(w, req)
			default:
				refuse(w, req)
			}
		},
		"auth.example:443": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"token":"t%d"}`, n.Load()) },
	}
}

// TestExpiredAsRegistriesSayIt: after a token has expired another is fetched, in whatever
// way the registry reports that, in the middle of a download too.
func TestExpiredAsRegistriesSayIt(t *testing.T) {
	big := data(12 << 20)
	for name, refuse := range map[string]http.HandlerFunc{
		"401 and nothing":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) },
		"RFC 6750":          wants(`Bearer error="invalid_token"`, nil),
		"another challenge": wants(`Bearer realm="https://auth.example/token"`, nil),
		"400":               func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) },
		"403":               func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
	} {
		t.Run(name, func(t *testing.T) {
			var n, served atomic.Int32
			w := newWorld(t, expiring(&n, refuse, func(w http.ResponseWriter, req *http.Request) {
				if strings.Contains(req.URL.Path, "/manifests/") {
					io.WriteString(w, "{}")
					return
				}
				if served.Add(1)%5 == 0 {
					n.Add(1) // who comes next is late
				}
				http.ServeContent(w, req, "", fileTime, bytes.NewReader(big))
			}))
			r, _ := open(t, registryHost, Options{Connections: 4})
			w.enter(r)
			for range 2 {
				_, err := r.Manifest(ctx, "v1", 100, nil)
				must(t, err)
				n.Add(1)
			}
			if got, err := fetchAll(t, r, blobOf(big)); err != nil || !bytes.Equal(got, big) {
				t.Errorf("%v, equal %v", err, bytes.Equal(got, big))
			}
		})
	}
}

// TestLoginChanges: a repository that asked for nothing, or for a password, may ask
// for a token later.
func TestLoginChanges(t *testing.T) {
	w := newWorld(t, map[string]http.HandlerFunc{registryHost: func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == "/v2/":
		case req.URL.Path == "/token":
			io.WriteString(w, `{"token":"good-token"}`)
		case strings.HasSuffix(req.URL.Path, "/missing"):
			w.WriteHeader(404)
		default:
			bearer("https://"+registryHost+"/token", says("{}"))(w, req)
		}
	}})
	r, _ := open(t, registryHost, Options{Username: "me", Password: secret})
	w.enter(r)
	if _, err := r.Manifest(ctx, "missing", 100, nil); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := r.Manifest(ctx, "v1", 100, nil); err != nil {
		t.Error(err)
	}
}

// TestAddressesInDisguise: a name that package http would turn into a private address is
// not taken for a token server.
func TestAddressesInDisguise(t *testing.T) {
	const meta = "169.254.169.254:443"
	for _, host := range []string{"１６９.２５４.１６９.２５４", "169。254。169。254", "[::ffff:a9fe:a9fe]", "0xa9fea9fe", "169.254.43518"} {
		for name, hosts := range map[string]map[string]http.HandlerFunc{
			"realm":    {registryHost: bearer("https://"+host+"/token", says("{}"))},
			"redirect": {registryHost: bearer("https://auth.example/token", says("{}")), "auth.example:443": sends("https://"+host+"/token", 302)},
		} {
			hosts[meta] = says(`{"token":"good-token"}`)
			w := newWorld(t, hosts)
			r, _ := open(t, registryHost, Options{Username: "me", Password: secret})
			w.enter(r)
			if _, err := r.Manifest(ctx, "v1", 100, nil); err == nil || Temporary(err) || w.asked(meta) {
				t.Errorf("%s as %s: %v, asked %v", host, name, err, w.asked(meta))
			}
		}
	}
}

// TestNoSecretShown: whatever a server sends back, and where.
func TestNoSecretShown(t *testing.T) {
	header := func(code int, key, value string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()[key] = []string{value}
			w.WriteHeader(code)
		}
	}
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				io.WriteString(c, text)
				c.Close()
			}
		}
	}
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(400)
			io.WriteString(w, s)
		}
	}
	const auth = `{"auths":{"registry.example:443":{"username":"me","password":"s3c/ret+"}}}`
	for name, answer := range map[string]http.HandlerFunc{
		"realm":             header(403, "Www-Authenticate", `Bearer realm="s3c/ret+://x"`),
		"location":          header(302, "Location", "http://s3c/ret+"),
		"name":              header(302, "Location", "https://good-token.example/"),
		"transfer encoding": raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: s3c/ret+\r\n\r\n"),
		"status line":       raw("Authorization: s3c/ret+\r\n\r\n"),
		"text":              text("you said s3c/ret+"),
		"form":              text("you said password=s3c%2Fret%2B"),
		"base64":            text("you said bWU6czNjL3JldCs= or bWU6czNjL3JldCs"),
		"signed URL":        text("no https://store.example/x?sig=hush there"),
		"scheme":            header(302, "Location", "ftp://other.example/t?signed=hush"),
		"escape":            header(302, "Location", "/t%zz?signed=hush"),
		"no scheme":         header(302, "Location", "://x?signed=hush"),
		"bracket":           header(302, "Location", "//[::1/?signed=hush"),
	} {
		for _, at := range []string{"/v2/r/manifests/v1", "/token", "/v2/"} {
			w := newWorld(t, map[string]http.HandlerFunc{registryHost: func(w http.ResponseWriter, req *http.Request) {
				given := req.Header.Get("Authorization") != ""
				switch {
				case req.URL.Path == at && (given || at == "/v2/"):
					answer(w, req)
				case req.URL.Path == "/token":
					io.WriteString(w, `{"token":"good-token"}`)
				case at == "/v2/":
					w.WriteHeader(401)
				case !given:
					wants(`Bearer realm="https://`+registryHost+`/token"`, nil)(w, req)
				}
			}})
			r, _ := open(t, registryHost, Options{AuthFiles: []string{authFileOf(t, "", auth)}, Retries: -1})
			w.enter(r)
			_, err := r.Manifest(ctx, "v1", 100, nil)
			if err == nil {
				t.Errorf("%s at %s: nothing was tested", name, at)
				continue
			}
			for _, s := range []string{"s3c/ret+", "s3c%2Fret%2B", "bWU6czNjL3JldCs", "good-token", "hush"} {
				if strings.Contains(err.Error(), s) && (s != "good-token" || at != "/token") { // there it is not known as one yet
					t.Errorf("%s at %s: %v", name, at, err)
				}
			}
		}
	}
}

// TestNoReferer: a host that a token server redirects to does not learn the URL of that.
func TestNoReferer(t *testing.T) {
	referer := "?"
	w := newWorld(t, map[string]http.HandlerFunc{
		registryHost:       bearer("https://auth.example/token?sig=hush", says("{}")),
		"auth.example:443": sends("https://other.example/t", 302),
		"other.example:443": func(w http.ResponseWriter, req *http.Request) {
			referer = req.Referer()
			io.WriteString(w, `{"token":"good-token"}`)
		},
	})
	r, _ := open(t, registryHost, Options{})
	w.enter(r)
	if _, err := r.Manifest(ctx, "v1", 100, nil); err != nil || referer != "" {
		t.Errorf("%v, referer %q", err, referer)
	}
}

// TestUnknownLogins: a password is not sent to a server that asks for something else.
func TestUnknownLogins(t *testing.T) {
	for _, c := range []string{`Digest realm="x",nonce="y"`, "Negotiate"} {
		w := newWorld(t, map[string]http.HandlerFunc{registryHost: wants(c, says("{}"))})
		r, _ := open(t, registryHost, Options{Username: "me", Password: secret})
		w.enter(r)
		if _, err := r.Manifest(ctx, "v1", 100, nil); err == nil || w.told(basic) != nil || !strings.Contains(err.Error(), "none of its ways to log in is known") || Temporary(err) {
			t.Errorf("%s: %v, heard %q", c, err, w.heard)
		}
	}
}

// TestRegistryElsewhere: if a registry redirects to another one that wants tokens, the
// client asks once for one with the right scope.
func TestRegistryElsewhere(t *testing.T) {
	big := data(12 << 20)
	for _, code := range []int{401, 403} {
		w := newWorld(t, map[string]http.HandlerFunc{
			registryHost: sends("https://us.example/v2/k8s/r/blobs/x", 307),
			"us.example:443": func(w http.ResponseWriter, req *http.Request) {
				switch req.Header.Get("Authorization") {
				case "Bearer for-repository:k8s/r:pull":
					http.ServeContent(w, req, "", fileTime, bytes.NewReader(big))
				case "":
					wants(`Bearer realm="https://auth.example/token",scope="repository:k8s/r:pull"`, nil)(w, req)
				default:
					w.WriteHeader(code)
				}
			},
			"auth.example:443": func(w http.ResponseWriter, req *http.Request) {
				fmt.Fprintf(w, `{"token":"for-%s"}`, req.URL.Query().Get("scope"))
			},
		})
		r, _ := open(t, registryHost, Options{Connections: 3})
		w.enter(r)
		got, err := fetchAll(t, r, blobOf(big))
		if tokens := w.requests("auth.example:443"); err != nil || !bytes.Equal(got, big) || tokens != 1 {
			t.Errorf("%d: %v, equal %v, %d tokens", code, err, bytes.Equal(got, big), tokens)
		}
	}
}

// TestOwnHost: a redirect to the registry's own host, in another spelling, keeps the login.
func TestOwnHost(t *testing.T) {
	for _, to := range []string{"https://registry.example:443/x", "https://REGISTRY.example/x", "/x"} {
		w := newWorld(t, map[string]http.HandlerFunc{registryHost: wants(`Basic realm="x"`, func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/x" {
				io.WriteString(w, "{}")
				return
			}
			w.Header().Set("Location", to)
			w.WriteHeader(307)
		}, basic)})
		w.dial["REGISTRY.example:443"] = w.dial[registryHost]
		r, _ := open(t, "registry.example", Options{Username: "me", Password: secret})
		w.enter(r)
		if _, err := r.Manifest(ctx, "v1", 100, nil); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// TestHostileChallenges: challenges cost a bounded time, and no loop goes on for ever.
func TestHostileChallenges(t *testing.T) {
	n := 0
	for name, c := range map[string]struct {
		challenge func() string
		requests  int // of the registry, at most
	}{
		"long":               {func() string { return `Bearer realm="https://auth.example/token"` + strings.Repeat(`,a="\x"`, 35000) }, 3},
		"another scope each": {func() string { n++; return fmt.Sprintf(`Bearer realm="https://auth.example/token",scope="%d"`, n) }, 8},
		"ever more scopes": {func() string {
			n++
			return fmt.Sprintf(`Bearer realm="https://auth.example/token",scope="%d%s"`, n, strings.Repeat("x", 7000))
		}, 100},
	} {
		for _, code := range []int{401, 403, 400} {
			w := newWorld(t, map[string]http.HandlerFunc{
				registryHost: func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("WWW-Authenticate", c.challenge())
					w.WriteHeader(code)
				},
				"auth.example:443": says(`{"token":"good-token"}`),
			})
			r, _ := open(t, registryHost, Options{})
			w.enter(r)
			for range 8 {
				if _, err := r.Manifest(ctx, "v1", 100, nil); err == nil || Temporary(err) {
					t.Errorf("%s, %d: %v", name, code, err)
				}
			}
			if asked := w.requests(registryHost); asked > 8*c.requests {
				t.Errorf("%s, %d: %d requests", name, code, asked)
			}
			for _, h := range w.heard["auth.example:443"] {
				if len(h) > 32<<10 {
					t.Errorf("%s, %d: a token server was asked with %d bytes", name, code, len(h))
				}
			}
		}
	}
}

// TestOneWaitsForAll: if a token server hangs, requests that need it at the same time wait
// for it once.
func TestOneWaitsForAll(t *testing.T) {
	w := newWorld(t, map[string]http.HandlerFunc{
		registryHost:       bearer("https://auth.example/token", says("{}")),
		"auth.example:443": func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() },
	})
	r, _ := open(t, registryHost, Options{Timeout: time.Second, Retries: -1})
	w.enter(r)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if _, err := r.Manifest(ctx, "v1", 100, nil); !Temporary(err) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := w.requests("auth.example:443"); n > 3 { // some may have come late
		t.Errorf("%d requests", n)
	}
}

// TestPlainStaysPlain: a ping that leads elsewhere does not change how the registry
// itself is asked.
func TestPlainStaysPlain(t *testing.T) {
	w := newWorld(t, map[string]http.HandlerFunc{
		"registry.example:80": func(w http.ResponseWriter, req *http.Request) {
			switch {
			case req.URL.Path == "/v2/":
				http.Redirect(w, req, "https://other.example/v2/", http.StatusFound)
			case req.Header.Get("Authorization") == basic:
				io.WriteString(w, "{}")
			default:
				w.WriteHeader(401)
			}
		},
		"other.example:443": wants(`Basic realm="x"`, says("{}"), basic),
	})
	r, _ := open(t, "registry.example", Options{Username: "me", Password: secret, Insecure: true})
	w.enter(r)
	r.origin.scheme = "http"
	if _, err := r.Manifest(ctx, "v1", 100, nil); err != nil || !slices.Equal(w.told(basic), []string{"registry.example:80"}) {
		t.Errorf("%v, heard %q", err, w.heard)
	}
}
