package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ocipipe/lib/oci/hosts"
	fake "ocipipe/lib/reftest/registry"
)

func asError(err error, e **Error) bool { return errors.As(err, e) }

// certsOf writes the certificates of s to a directory.
func certsOf(t *testing.T, s *fake.Server) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must(t, s.Certs.Write(dir))
	return dir
}

func caOf(t *testing.T, s *fake.Server) string { return certsOf(t, s) + "/ca.pem" }

func TestTLS(t *testing.T) {
	plain := start(t, fake.Config{}, fake.Behaviour{})
	secure := start(t, fake.Config{TLS: true}, fake.Behaviour{})
	mutual := start(t, fake.Config{TLS: true, ClientCert: true}, fake.Behaviour{})
	http2 := start(t, fake.Config{TLS: true, HTTP2: true}, fake.Behaviour{})
	ca, certs := caOf(t, secure), certsOf(t, mutual)
	other := "localhost" + plain.Host[strings.LastIndexByte(plain.Host, ':'):]
	for _, c := range []struct {
		name string
		host string
		opts Options
		says string
		want Remedy
	}{
		{"plain to this machine", plain.Host, Options{}, "", NoRemedy},
		{"plain to this machine by name", other, Options{}, "", NoRemedy},
		{"made authority", secure.Host, Options{Certs: hosts.Options{CACert: ca}}, "", NoRemedy},
		{"unknown authority", secure.Host, Options{}, "certificate signed by unknown authority", TrustAuthority},
		{"unknown authority, named", secure.Host, Options{}, "certificate signed by unknown authority", TrustAuthority},
		{"nobody's is verified", secure.Host, Options{Certs: hosts.Options{Verify: hosts.VerifyNone}}, "", NoRemedy},
		{"another authority, nobody's is verified", secure.Host, Options{Certs: hosts.Options{CACert: certs + "/ca.pem", Verify: hosts.VerifyNone}}, "", NoRemedy},
		{"insecure is not careless", secure.Host, Options{Insecure: true}, "certificate signed by unknown authority", TrustAuthority},
		{"client certificate", mutual.Host, Options{Certs: hosts.Options{CACert: certs + "/ca.pem", ClientCert: certs + "/client.pem", ClientKey: certs + "/client.key"}}, "", NoRemedy},
		{"no client certificate", mutual.Host, Options{Certs: hosts.Options{CACert: certs + "/ca.pem"}}, "certificate required", ShowCertificate},
		{"HTTP/2", http2.Host, Options{Certs: hosts.Options{CACert: caOf(t, http2)}}, "", NoRemedy},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, s := range []*fake.Server{plain, secure, mutual, http2} {
				s.AddImage("r", "v1", data(100))
			}
			r, w := open(t, c.host, c.opts)
			_, err := r.Manifest(ctx, "v1", 1<<20, nil)
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || Temporary(err) || len(w.list) > 0):
				t.Errorf("%v (temporary %v), want %q", err, Temporary(err), c.says)
			}
			var e *Error
			if asError(err, &e); e != nil && e.Remedy != c.want {
				t.Errorf("remedy %v, want %v", e.Remedy, c.want)
			}
		})
	}
	if _, err := New(Options{Certs: hosts.Options{CACert: "/no/such"}}); err == nil {
		t.Error("no file of authorities: passes")
	}
}

// TestPlainElsewhere: plain HTTP to other machines is used only if that is allowed. A proxy
// stands for these machines.
func TestPlainElsewhere(t *testing.T) {
	s := start(t, fake.Config{}, fake.Behaviour{})
	s.AddImage("r", "v1", data(10))
	conf := []string{authFileOf(t, "", "[[registry]]\nlocation='registry.example:5000'\ninsecure=true")}
	for _, c := range []struct {
		opts  Options
		plain bool
	}{
		{Options{}, false},
		{Options{Insecure: true}, true},
		{Options{Configs: conf}, true},
		{Options{Configs: conf, Certs: hosts.Options{Verify: hosts.VerifyAll}}, false},
		{Options{Certs: hosts.Options{Verify: hosts.VerifyNone}}, false},
	} {
		c.opts.Retries = -1
		r, _ := open(t, "registry.example:5000", c.opts)
		r.c.adapt = func(tr *http.Transport) { tr.DialContext = (&redirectDialer{s.Host}).dial }
		_, err := r.Manifest(ctx, "v1", 1<<20, nil)
		var e *Error
		if (err == nil) != c.plain || err != nil && (Temporary(err) || !asError(err, &e) || e.Remedy != AllowHTTP) {
			t.Errorf("%+v: %v", c.opts, err)
		}
	}
}

// TestWrongName: a certificate of a trusted authority for another host.
func TestWrongName(t *testing.T) {
	s := start(t, fake.Config{TLS: true}, fake.Behaviour{})
	s.AddImage("r", "v1", data(10))
	for _, verify := range []hosts.Verify{hosts.VerifyConfigured, hosts.VerifyNone} {
		r, w := open(t, "registry.example:5000", Options{Certs: hosts.Options{CACert: caOf(t, s), Verify: verify}})
		r.c.adapt = func(tr *http.Transport) { tr.DialContext = (&redirectDialer{s.Host}).dial }
		_, err := r.Manifest(ctx, "v1", 1<<20, nil)
		var e *Error
		if (err == nil) != (verify == hosts.VerifyNone) || len(w.list) > 0 || err != nil && (!asError(err, &e) || e.Remedy != SkipVerification) {
			t.Errorf("%v: %v", verify, err)
		}
	}
}

// TestNobodyThere: a host that refuses connections, and a name that does not exist.
func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l.Close()
	r, w := open(t, l.Addr().String(), Options{Retries: 2})
	_, err = r.Manifest(ctx, "v1", 1<<20, nil)
	if !Temporary(err) || len(w.list) != 2 || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v after %d waits", err, len(w.list))
	}
	r, w = open(t, "registry.invalid", Options{})
	r.c.adapt = func(tr *http.Transport) { tr.DialContext = noName }
	_, err = r.Manifest(ctx, "v1", 1<<20, nil)
	if err == nil || Temporary(err) || len(w.list) != 0 {
		t.Errorf("%v (temporary %v) after %d waits", err, Temporary(err), len(w.list))
	}
}

func TestMirrors(t *testing.T) {
	big := data(3 << 20)
	for _, c := range []struct {
		name   string
		b      fake.Behaviour // of the mirror
		prefix string
		empty  bool // the mirror has nothing
		origin bool // the registry is asked too
		warns  bool
	}{
		{"has it", fake.Behaviour{}, "", false, false, false},
		{"has it elsewhere", fake.Behaviour{}, "/proxy/hub", false, false, false},
		{"has it not", fake.Behaviour{}, "", true, true, false},
		{"is down", fake.Behaviour{Rules: []fake.Rule{{Status: 503}}}, "", false, true, true},
		{"denies", fake.Behaviour{Auth: "basic", User: "x", Password: "y"}, "", false, true, true},
		{"breaks in the middle", fake.Behaviour{Rules: []fake.Rule{{Match: "/blobs/", Break: "reset", Within: 1000}}}, "", false, true, false},
		{"has a wrong size", fake.Behaviour{Rules: []fake.Rule{{Match: "/blobs/", Length: 7}}}, "", false, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			mirror, origin := start(t, fake.Config{}, c.b), start(t, fake.Config{}, fake.Behaviour{Auth: "basic", User: "me", Password: "secret"})
			origin.AddImage("r", "v1", big)
			if !c.empty {
				mirror.AddImage(strings.TrimPrefix(c.prefix+"/r", "/"), "v1", big)
			}
			warned := 0
			r, _ := open(t, origin.Host, Options{Username: "me", Password: "secret", Mirrors: []string{"http://" + mirror.Host + c.prefix},
				Warn: func(string) { warned++ }, Connections: 2})
			if _, err := r.Manifest(ctx, "v1", 1<<20, nil); err != nil {
				t.Fatal(err)
			}
			if got, err := fetchAll(t, r, blobOf(big)); err != nil || !bytes.Equal(got, big) {
				t.Fatal(err)
			}
			if asked := len(origin.Stats().Requests) > 0; asked != c.origin {
				t.Errorf("the registry was asked: %v", asked)
			}
			if (warned > 0) != c.warns || warned > 1 {
				t.Errorf("%d warnings", warned)
			}
		})
	}
}

// TestPortal: a mirror that answers everything with 200 and a page of its own, as a
// captive portal does, is named and passed over.
func TestPortal(t *testing.T) {
	big := data(3 << 20)
	origin := start(t, fake.Config{}, fake.Behaviour{})
	img := origin.AddImage("r", "v1", big)
	ways := map[string]func(r *Repository) error{
		"tag":    func(r *Repository) error { _, err := r.Manifest(ctx, "v1", 1<<20, nil); return err },
		"digest": func(r *Repository) error { _, err := r.Manifest(ctx, img.Manifest, 1<<20, nil); return err },
		"blob": func(r *Repository) error {
			got, err := fetchAll(t, r, blobOf(big))
			if err == nil && !bytes.Equal(got, big) {
				err = errors.New("other bytes")
			}
			return err
		},
		"stream": func(r *Repository) error {
			got, err := stream(r, blobOf(big), 0)
			if err == nil && !bytes.Equal(got, big) {
				err = errors.New("other bytes")
			}
			return err
		},
	}
	for page, text := range map[string]string{"HTML": "<html>Log in!</html>", "JSON": `{"error":"log in"}`, "nothing": ""} {
		for _, chunked := range []bool{false, true} {
			portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if chunked {
					w.(http.Flusher).Flush()
				}
				io.WriteString(w, text)
			}))
			defer portal.Close()
			for name, get := range ways {
				var warned []string
				r, _ := open(t, origin.Host, Options{Mirrors: []string{portal.URL}, Warn: func(s string) { warned = append(warned, s) }, Connections: 2})
				if err := get(r); err != nil {
					t.Errorf("%s, chunked %v, %s: %v", page, chunked, name, err)
				}
				if host := strings.TrimPrefix(portal.URL, "http://"); len(warned) != 1 || !strings.Contains(warned[0], "mirror "+host+": ") || strings.Count(warned[0], host) != 1 {
					t.Errorf("%s, chunked %v, %s: warned %q", page, chunked, name, warned)
				}
			}
		}
	}
}

// TestManifest: what a registry says of its answer must be true.
func TestManifest(t *testing.T) {
	s := start(t, fake.Config{}, fake.Behaviour{})
	img := s.AddImage("r", "v1", data(10))
	r, _ := open(t, s.Host, Options{})
	m, err := r.Manifest(ctx, "v1", 1<<20, nil)
	must(t, err)
	if m.MediaType != "application/vnd.oci.image.manifest.v1+json" || len(m.Data) == 0 {
		t.Errorf("%s, %d bytes", m.MediaType, len(m.Data))
	}
	if _, err := r.Manifest(ctx, "v1", int64(len(m.Data))-1, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := r.Manifest(ctx, "v1", int64(len(m.Data)), nil); err != nil {
		t.Error(err)
	}
	if d, err := r.Resolve(ctx, "v1", nil); err != nil || d.String() != img.Manifest {
		t.Errorf("%s, %v", d, err)
	}
	if _, err := r.Manifest(ctx, "v2", 1<<20, nil); !errors.Is(err, ErrNotFound) || err.Error() != "registry: MANIFEST_UNKNOWN: manifest unknown (HTTP 404)" {
		t.Errorf("not there: %v", err)
	}
	s.Behave(fake.Behaviour{Rules: []fake.Rule{{Match: "/manifests/", Flip: 5}}})
	if _, err := r.Manifest(ctx, "v1", 1<<20, nil); !errors.Is(err, ErrProtocol) || Temporary(err) {
		t.Errorf("flipped: %v", err)
	}
}

// TestForeign: layers from other hosts, to which no login is sent.
func TestForeign(t *testing.T) {
	big := data(2 << 20)
	s := start(t, fake.Config{}, fake.Behaviour{})
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "" {
			t.Error("credentials went elsewhere")
		}
		if req.URL.Path == "/blob" {
			http.ServeContent(w, req, "", fileTime, bytes.NewReader(big))
			return
		}
		w.WriteHeader(404)
	}))
	defer elsewhere.Close()
	r, _ := open(t, s.Host, Options{Username: "me", Password: "secret"})
	b := blobOf(big)
	if _, err := fetchAll(t, r, b); !errors.Is(err, ErrNotFound) {
		t.Errorf("no URLs: %v", err)
	}
	b.URLs = []string{"ftp://x/blob", "file:///etc/passwd", elsewhere.URL + "/gone", elsewhere.URL + "/blob"}
	if got, err := fetchAll(t, r, b); err != nil || !bytes.Equal(got, big) {
		t.Error(err)
	}
	b.URLs = b.URLs[:2]
	if _, err := fetchAll(t, r, b); err == nil || !strings.Contains(err.Error(), "not a URL that layers are fetched from") {
		t.Error(err)
	}
	s.AddBlob(big)
	if got, err := fetchAll(t, r, b); err != nil || !bytes.Equal(got, big) {
		t.Errorf("the registry has it: %v", err)
	}
}

var fileTime = time.Unix(1, 0)

// redirectDialer connects to one address whatever it is asked for.
type redirectDialer struct{ to string }

func (d redirectDialer) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, d.to)
}

// noName is how a name that does not exist fails.
func noName(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "registry.invalid", IsNotFound: true}}
}
