package registry

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocipipe/lib/oci/hosts"
	fake "ocipipe/lib/reftest/registry"
)

// authFile writes the configuration of a docker or podman, in which HOST is host.
func authFileOf(t *testing.T, host, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "auth.json")
	must(t, os.WriteFile(path, []byte(strings.ReplaceAll(content, "HOST", host)), 0o600))
	return path
}

// TestLogin: all ways to log in, and the errors if none works.
func TestLogin(t *testing.T) {
	const good = `{"auths":{"HOST":{"auth":"bWU6c2VjcmV0"}}}` // me:secret
	bearer := fake.Behaviour{Auth: "bearer", User: "me", Password: "secret"}
	with := func(b fake.Behaviour, change func(b *fake.Behaviour)) fake.Behaviour {
		change(&b)
		return b
	}
	for _, c := range []struct {
		name  string
		b     fake.Behaviour
		auth  string
		opts  Options
		says  string
		hints bool
	}{
		{"nobody asks", fake.Behaviour{}, good, Options{}, "", false},
		{"basic", fake.Behaviour{Auth: "basic", User: "me", Password: "secret"}, good, Options{}, "", false},
		{"basic, flags", fake.Behaviour{Auth: "basic", User: "me", Password: "secret"}, `{"auths":{"HOST":{"auth":"bWU6b3RoZXI="}}}`,
			Options{Username: "me", Password: "secret"}, "", false},
		{"basic, wrong", fake.Behaviour{Auth: "basic", User: "me", Password: "other"}, good, Options{}, "UNAUTHORIZED: authentication required (HTTP 401)", false},
		{"basic, nobody", fake.Behaviour{Auth: "basic", User: "me", Password: "secret"}, `{}`, Options{}, "UNAUTHORIZED", true},
		{"bearer, anonymous", fake.Behaviour{Auth: "bearer"}, `{}`, Options{}, "", false},
		{"bearer", bearer, good, Options{}, "", false},
		{"bearer, access_token", with(bearer, func(b *fake.Behaviour) { b.TokenField = "access_token" }), good, Options{}, "", false},
		{"bearer, both", with(bearer, func(b *fake.Behaviour) { b.TokenField = "both" }), good, Options{}, "", false},
		{"bearer, with an expiry", with(bearer, func(b *fake.Behaviour) { b.ExpiresIn = 60 }), good, Options{}, "", false},
		{"bearer, wrong", bearer, `{"auths":{"HOST":{"username":"me","password":"wrong-one"}}}`, Options{}, "token server 127.0.0.1:", false},
		{"bearer, nobody", bearer, ``, Options{}, "incorrect username or password (HTTP 401)", true},
		{"bearer, no scope", with(bearer, func(b *fake.Behaviour) { b.Challenge = `Bearer realm="{realm}"` }), good, Options{}, "", false},
		{"bearer after another", with(bearer, func(b *fake.Behaviour) { b.Challenge = "Negotiate\nBearer realm=\"{realm}\"" }), good, Options{}, "", false},
		{"bearer after basic, anonymous", fake.Behaviour{Auth: "bearer", Challenge: "Basic realm=\"x\"\nBearer realm=\"{realm}\""}, `{}`, Options{}, "", false},
		{"bearer without realm", with(bearer, func(b *fake.Behaviour) { b.Challenge = `Bearer` }), `{}`, Options{}, "HTTP 401", true},
		{"bearer, realm is no URL", with(bearer, func(b *fake.Behaviour) { b.Challenge = `Bearer realm="x"` }), `{}`, Options{}, `realm scheme "" not allowed`, false},
		{"identity token", fake.Behaviour{Auth: "bearer", User: "me", Password: "secret", IdentityToken: "identity"},
			`{"auths":{"HOST":{"identitytoken":"identity"}}}`, Options{}, "", false},
		{"identity token as a password", fake.Behaviour{Auth: "bearer", User: "me", IdentityToken: "identity"},
			`{"auths":{"HOST":{"username":"<token>","password":"identity"}}}`, Options{}, "", false},
		{"wrong identity token", fake.Behaviour{Auth: "bearer", User: "me", Password: "secret", IdentityToken: "identity"},
			`{"auths":{"HOST":{"identitytoken":"stolen"}}}`, Options{}, "incorrect username", false},
		{"token server has no POST", fake.Behaviour{Auth: "bearer", User: "me", Password: "secret", Rules: []fake.Rule{{Match: "POST ", Status: 405}}},
			`{"auths":{"HOST":{"identitytoken":"identity","auth":"bWU6c2VjcmV0"}}}`, Options{}, "", false},
		{"token server is down once", with(bearer, func(b *fake.Behaviour) { b.Rules = []fake.Rule{{Match: "/token", Status: 503, Times: 1}} }), good, Options{}, "", false},
		{"token server refuses", with(bearer, func(b *fake.Behaviour) {
			b.Rules = []fake.Rule{{Match: "/token", Status: 403, Code: "DENIED", Message: "you said bWU6c2VjcmV0 or secret"}}
		}), good, Options{}, "DENIED: you said *** or *** (HTTP 403)", false},
		{"404 without a challenge", fake.Behaviour{Auth: "basic", User: "me", Password: "secret", Rules: []fake.Rule{{Match: "/manifests/", Status: 404, Times: 1}}}, good, Options{}, "", false},
		{"403 without a challenge", with(bearer, func(b *fake.Behaviour) { b.Rules = []fake.Rule{{Match: "/manifests/", Status: 403, Times: 1}} }), good, Options{}, "", false},
		{"broken file", bearer, `{"auths":`, Options{}, "auth.json: the JSON is cut short", false},
		{"broken auth", bearer, `{"auths":{"HOST":{"auth":"!"}}}`, Options{}, "auth.json: illegal base64", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, fake.Config{}, c.b)
			s.AddImage("r", "v1", data(10))
			c.opts.AuthFiles = []string{"/no/such/file", authFileOf(t, s.Host, c.auth)}
			r, _ := open(t, s.Host, c.opts)
			_, err := r.Manifest(ctx, "v1", 1<<20, nil)
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || Temporary(err)):
				t.Errorf("%v (temporary %v), want %q", err, Temporary(err), c.says)
			}
			if err == nil {
				return
			}
			var e *Error
			if hint := asError(err, &e) && e.Remedy == LogIn; hint != c.hints {
				t.Errorf("hint: %v, want %v", hint, c.hints)
			}
			if strings.Contains(err.Error(), "http:") || strings.Contains(err.Error(), "Get ") {
				t.Errorf("%v: shows a URL", err)
			}
			for _, secret := range []string{"secret", "wrong-one", "bWU6c2VjcmV0", "identity", "stolen", "token-number"} {
				if strings.Contains(strings.ReplaceAll(err.Error(), "identity token", ""), secret) {
					t.Errorf("%v: gives %s away", err, secret)
				}
			}
		})
	}
}

// TestTokenExpires: a token expires in the middle of a pull, and registries say that in
// several ways.
func TestTokenExpires(t *testing.T) {
	big := data(6 << 20)
	slow := fake.Rule{Match: "/blobs/", Piece: 1 << 20, Pause: fake.Duration(30 * time.Millisecond), Break: "reset", Within: 2 << 20}
	s := start(t, fake.Config{}, fake.Behaviour{Auth: "bearer", TokenUses: 4, Rules: []fake.Rule{slow}})
	s.AddBlob(big)
	r, _ := open(t, s.Host, Options{Connections: 3})
	r.c.sleep = sleep
	if got, err := fetchAll(t, r, blobOf(big)); err != nil || !bytes.Equal(got, big) {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Expired == 0 || st.Tokens < 3 {
		t.Errorf("%d requests with an expired token, %d tokens: nothing was tested", st.Expired, st.Tokens)
	}
	for _, code := range []int{400, 403} {
		s := start(t, fake.Config{}, fake.Behaviour{Auth: "bearer", Rules: []fake.Rule{{Match: "/blobs/", Skip: 1, Times: 1, Status: code}}})
		s.AddBlob(big)
		r, _ := open(t, s.Host, Options{Connections: 1})
		if _, err := r.Manifest(ctx, "v1", 1, nil); err == nil {
			t.Fatal("there is no manifest")
		}
		for range 2 {
			if got, err := fetchAll(t, r, blobOf(big)); err != nil || !bytes.Equal(got, big) {
				t.Errorf("%d: %v", code, err)
			}
		}
		if n := s.Stats().Tokens; n != 2 {
			t.Errorf("%d: %d tokens", code, n)
		}
	}
}

// TestCredentialsStay: credentials go only to the host that they are for, and not to
// another name or port of it.
func TestCredentialsStay(t *testing.T) {
	big := data(3 << 20)
	for _, auth := range []string{"basic", "bearer"} {
		s := start(t, fake.Config{}, fake.Behaviour{Auth: auth, User: "me", Password: "secret", Redirect: true,
			RedirectUses: 1, Rules: []fake.Rule{{Match: "/store/", Break: "reset", Within: 1 << 20}}})
		s.AddBlob(big)
		r, _ := open(t, s.Host, Options{Username: "me", Password: "secret", Connections: 2})
		if got, err := fetchAll(t, r, blobOf(big)); err != nil || !bytes.Equal(got, big) {
			t.Errorf("%s: %v", auth, err)
		}
		if n := s.Stats().Leaks; n > 0 {
			t.Errorf("%s: %d requests took credentials to the storage", auth, n)
		}
	}
	var leaks []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _, ok := req.BasicAuth()
		if strings.HasPrefix(req.Host, "localhost") && req.Header.Get("Authorization") != "" {
			leaks = append(leaks, req.Host)
		}
		switch {
		case strings.HasPrefix(req.Host, "localhost"):
			w.Write(big)
		case !ok:
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(401)
		default:
			u := url.URL{Scheme: "http", Host: strings.Replace(req.Host, "127.0.0.1", "localhost", 1), Path: "/x"}
			http.Redirect(w, req, u.String(), http.StatusFound)
		}
	}))
	defer s.Close()
	r, _ := open(t, strings.TrimPrefix(s.URL, "http://"), Options{Username: "me", Password: "secret"})
	if got, err := stream(r, blobOf(big), 0); err != nil || !bytes.Equal(got, big) || leaks != nil {
		t.Errorf("%v, leaks to %q", err, leaks)
	}
}

// TestTokenServerWithoutTLS: a password does not travel in the clear because a
// registry says so.
func TestTokenServerWithoutTLS(t *testing.T) {
	asked := false
	token := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer token.Close()
	s := start(t, fake.Config{TLS: true}, fake.Behaviour{Auth: "bearer", Challenge: fmt.Sprintf("Bearer realm=%q", token.URL)})
	r, _ := open(t, s.Host, Options{Certs: hosts.Options{CACert: caOf(t, s)}, Username: "me", Password: "secret"})
	_, err := r.Manifest(ctx, "v1", 1<<20, nil)
	if err == nil || asked || !strings.Contains(err.Error(), "not allowed for a secure registry") {
		t.Errorf("%v, asked %v", err, asked)
	}
}
