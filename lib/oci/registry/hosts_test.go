package registry

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"ocipipe/lib/oci/hosts"
	fake "ocipipe/lib/reftest/registry"
)

// secureHosts are servers with an authority each, which record their clients.
type secureHosts struct {
	t     *testing.T
	dir   string            // as certs.d
	names map[string]string // of those whose certificates they are, by DER
	mu    sync.Mutex
	came  []string // "HOST CLIENT", CLIENT "-" for nobody
}

func newSecureHosts(t *testing.T) *secureHosts {
	return &secureHosts{t: t, dir: t.TempDir(), names: map[string]string{}}
}

// client makes a certificate of a client called name.
func (s *secureHosts) client(name string) *fake.Certs {
	c, err := fake.MakeCerts()
	must(s.t, err)
	pair, err := tls.X509KeyPair(c.ClientCert, c.ClientKey)
	must(s.t, err)
	s.names[string(pair.Certificate[0])] = name
	return c
}

// start runs a host called name, for which certs.d has an authority and a client.
func (s *secureHosts) start(name string, handle http.HandlerFunc) (host string) {
	c := s.client(name)
	pair, err := tls.X509KeyPair(c.ServerCert, c.ServerKey)
	must(s.t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		who := "-"
		if len(req.TLS.PeerCertificates) > 0 {
			who = s.names[string(req.TLS.PeerCertificates[0].Raw)]
		}
		s.mu.Lock()
		s.came = append(s.came, name+" "+who)
		s.mu.Unlock()
		handle(w, req)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	s.t.Cleanup(server.Close)
	host = strings.Replace(server.Listener.Addr().String(), "127.0.0.1", "localhost", 1)
	must(s.t, os.Mkdir(s.dir+"/"+host, 0o755))
	for file, data := range map[string][]byte{"ca.crt": c.CA, "c.cert": c.ClientCert, "c.key": c.ClientKey} {
		must(s.t, os.WriteFile(s.dir+"/"+host+"/"+file, data, 0o600))
	}
	return host
}

// visits lists which client came to which host, each once.
func (s *secureHosts) visits() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.came)
	s.came = nil
	slices.Sort(list)
	return slices.Compact(list)
}

func redirect(to *string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "https://"+*to+"/x", http.StatusTemporaryRedirect)
	}
}

// TestIdentity: a client certificate is shown to the host that it is for, if that is a
// registry, a mirror or a token server, and never after a redirect.
func TestIdentity(t *testing.T) {
	s := newSecureHosts(t)
	storage := s.start("storage", says("{}"))
	token := s.start("token", func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, `{"token":"t0ken"}`) })
	registry := s.start("registry", func(w http.ResponseWriter, req *http.Request) {
		wants(`Bearer realm="https://`+token+`/token"`, redirect(&storage), "Bearer t0ken")(w, req)
	})
	otherToken := s.start("token2", redirect(&token))
	other := s.start("registry2", wants(`Bearer realm="https://`+otherToken+`/token"`, says("{}"), "Bearer t0ken"))
	mirror := s.start("mirror", says(`{"schemaVersion":2}`))
	inner := s.start("inner", redirect(&registry))

	flag := s.client("flag")
	dir := t.TempDir()
	must(t, flag.Write(dir))
	given := hosts.Options{ClientCert: dir + "/client.pem", ClientKey: dir + "/client.key"}
	conf := func(text string, args ...any) []string {
		return []string{authFileOf(t, "", fmt.Sprintf(text, args...))}
	}
	const move = "[[registry]]\nprefix='%s'\nlocation='%s'\n"
	for _, c := range []struct {
		name string
		host string
		opts Options
		want []string
	}{
		{"a token, a redirect", registry, Options{}, []string{"registry registry", "storage -", "token token"}},
		{"a token server that redirects", other, Options{}, []string{"registry2 registry2", "token -", "token2 token2"}},
		{"given", registry, Options{Certs: given}, []string{"registry flag", "storage -", "token token"}},
		{"mirror", registry, Options{Certs: given, Mirrors: []string{mirror}}, []string{"mirror mirror"}},
		{"redirected to who is known", inner, Options{Mirrors: []string{inner}}, []string{"inner inner", "registry -", "storage -", "token -"}},
		{"moved", mirror, Options{Certs: given, Configs: conf(move, mirror, registry)}, []string{"registry registry", "storage -", "token token"}},
		{"moved and back", mirror, Options{Certs: given, Configs: conf(move, mirror, mirror+"/x")}, []string{"mirror flag"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.opts.Certs.Dirs = []string{s.dir}
			r, _ := open(t, c.host, c.opts)
			_, err := r.Manifest(ctx, "v1", 1<<20, nil)
			if got := s.visits(); !slices.Equal(got, c.want) || err != nil {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}

	// The authority of one server is not trusted for another.
	must(t, os.Rename(s.dir+"/"+storage, s.dir+"/away"))
	r, _ := open(t, registry, Options{Certs: hosts.Options{Dirs: []string{s.dir}}})
	if _, err := r.Manifest(ctx, "v1", 1<<20, nil); err == nil || !strings.Contains(err.Error(), storage) || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("an authority is trusted elsewhere: %v", err)
	}

	// Nor is who may be anybody there, elsewhere.
	insecure := conf("[[registry]]\nlocation='%s'\ninsecure=true", registry)
	must(t, os.Remove(s.dir+"/"+registry+"/ca.crt"))
	s.visits()
	r, _ = open(t, registry, Options{Configs: insecure, Certs: hosts.Options{Dirs: []string{s.dir}}})
	_, err := r.Manifest(ctx, "v1", 1<<20, nil)
	if got := s.visits(); err == nil || !strings.Contains(err.Error(), storage) || !slices.Equal(got, []string{"registry registry", "token token"}) {
		t.Errorf("insecure: %q, %v", got, err)
	}
	r, _ = open(t, registry, Options{Configs: insecure, Certs: hosts.Options{Dirs: []string{s.dir}, Verify: hosts.VerifyAll}})
	if _, err := r.Manifest(ctx, "v1", 1<<20, nil); err == nil || !strings.Contains(err.Error(), registry) || s.visits() != nil {
		t.Errorf("all are verified: %v", err)
	}
	r, _ = open(t, registry, Options{Certs: hosts.Options{Verify: hosts.VerifyNone}})
	if _, err := r.Manifest(ctx, "v1", 1<<20, nil); err != nil {
		t.Errorf("none are verified: %v", err)
	}

	// A file that is wrong is not tried again, and not the mirror's business.
	must(t, os.Remove(s.dir+"/"+registry+"/c.key"))
	r, w := open(t, registry, Options{Certs: hosts.Options{Dirs: []string{s.dir}}})
	if _, err := r.Manifest(ctx, "v1", 1<<20, nil); err == nil || Temporary(err) || len(w.list) > 0 || !strings.Contains(err.Error(), registry+"/c.cert") {
		t.Errorf("no key: %v after %d waits", err, len(w.list))
	}
}

// TestMoved: an image is fetched from the location in the configuration, with the client
// certificate for that host.
func TestMoved(t *testing.T) {
	server := start(t, fake.Config{}, fake.Behaviour{Auth: "basic", User: "me", Password: secret})
	img := server.AddImage("deep/r", "v1", data(100))
	conf := func(text string) []string {
		return []string{authFileOf(t, "", "[[registry]]\nprefix='named.example/r'\n"+text)}
	}
	moved := conf("location='" + server.Host + "/deep/r'\n")
	auth := func(key string) []string {
		return []string{authFileOf(t, "", `{"auths":{"`+key+`":{"username":"me","password":"`+secret+`"}}}`)}
	}
	helpers := authFileOf(t, "", "credential-helpers=['x']")
	for _, c := range []struct {
		name string
		opts Options
		says string
		want MissingLogin
	}{
		{"stored for where it is", Options{Configs: moved, AuthFiles: auth(server.Host + "/deep")}, "", MissingLogin{}},
		{"stored for the name", Options{Configs: moved, AuthFiles: auth("named.example")}, "401", MissingLogin{Host: server.Host}},
		{"given", Options{Configs: moved, Username: "me", Password: secret}, "401", MissingLogin{Host: server.Host, UsernameFor: "named.example", ReplacedBy: moved[0]}},
		{"blocked", Options{Configs: conf("blocked=true")}, "blocked", MissingLogin{}},
		{"helpers", Options{Configs: []string{moved[0], helpers}}, "401", MissingLogin{Host: server.Host, NotAsked: "credential-helpers in " + helpers + " are not asked"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server.Behave(fake.Behaviour{Auth: "basic", User: "me", Password: secret})
			c.opts.Timeout, c.opts.Retries = 0, -1
			client, err := New(c.opts)
			must(t, err)
			defer client.Close()
			r, err := client.Repository(parse(t, "named.example/r:v1"))
			if c.says == "blocked" {
				if !errors.Is(err, hosts.ErrBlocked) {
					t.Error(err)
				}
				return
			}
			must(t, err)
			d, err := r.Resolve(ctx, "v1", nil)
			var e *Error
			switch {
			case c.says == "" && (err != nil || d.String() != img.Manifest):
				t.Errorf("%s, %v", d, err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !asError(err, &e) || e.Remedy != LogIn || e.Missing != c.want):
				t.Errorf("%v, %+v", err, e)
			}
		})
	}
}
