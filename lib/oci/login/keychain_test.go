package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

var ctx = context.Background()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// file writes a configuration of docker or podman.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "auth.json")
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// find asks f for a repository.
func find(t *testing.T, ctx context.Context, f *Files, host, repo string) (authn.AuthConfig, error) {
	t.Helper()
	reg, err := name.NewRegistry(host)
	must(t, err)
	auth, err := f.ResolveContext(ctx, reg.Repo(repo))
	if err != nil {
		return authn.AuthConfig{}, err
	}
	if auth == authn.Anonymous {
		return authn.AuthConfig{}, nil
	}
	cred, err := auth.Authorization()
	must(t, err)
	cred.Auth = ""
	return *cred, nil
}

// install puts a credential helper called name into PATH. It answers for one host
// and says as those of docker that it knows no other.
func install(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\nread host\n"+script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestCredentials(t *testing.T) {
	install(t, "good", `case $1,$host in
get,h.example) echo '{"ServerURL":"h.example","Username":"u","Secret":"from helper"}' ;;
get,token.example) echo '{"Username":"<token>","Secret":"identity"}' ;;
get,https://index.docker.io/v1/) echo '{"Username":"hub","Secret":"s"}' ;;
*) echo "credentials not found in native keychain"; exit 1 ;;
esac`)
	install(t, "bad", `echo "cannot open the keychain"; echo more; exit 2`)
	install(t, "odd", `echo '{"Username":"u","Secret":"hush"'; exit 0`)
	install(t, "daemon", `echo '{"Username":"u","Secret":"s"}'; sleep 3 & exit 0`)
	install(t, "lower", `echo '{"Username":"u","secret":"hush"}'; exit 1`)
	install(t, "talks", `echo 'password: hush'; exit 1`)
	install(t, "polite", `echo 'Credentials not found for this host'; exit 1`)
	install(t, "endless", `exec yes Secret`)
	install(t, "leaky", `echo '{"Username":"u","Secret":"hush"}'; exit 1`)
	for _, c := range []struct {
		name, file, host, repo string
		want                   authn.AuthConfig
		err, warns             string
	}{
		{"none", `{}`, "h.example", "r", authn.AuthConfig{}, "", ""},
		{"empty file", ``, "h.example", "r", authn.AuthConfig{}, "", ""},
		{"empty entry", `{"auths":{"h.example":{}}}`, "h.example", "r", authn.AuthConfig{}, "", ""},
		{"auth", `{"auths":{"h.example":{"auth":"dTpwOnE="}}}`, "h.example", "r", authn.AuthConfig{Username: "u", Password: "p:q"}, "", ""},
		{"auth that is broken", `{"auths":{"h.example":{"auth":"!"}}}`, "h.example", "r", authn.AuthConfig{}, "illegal base64", ""},
		{"another port", `{"auths":{"h.example":{"auth":"dTpwOnE="}}}`, "h.example:5000", "r", authn.AuthConfig{}, "", ""},
		{"url", `{"auths":{"https://H.example/v1/":{"username":"u","password":"p"}}}`, "h.example", "r", authn.AuthConfig{Username: "u", Password: "p"}, "", ""},
		{"hub", `{"auths":{"https://index.docker.io/v1/":{"username":"u","password":"p"}}}`, "index.docker.io", "library/x", authn.AuthConfig{Username: "u", Password: "p"}, "", ""},
		{"hub by its short name", `{"auths":{"docker.io":{"username":"u","password":"p"}}}`, "index.docker.io", "library/x", authn.AuthConfig{Username: "u", Password: "p"}, "", ""},
		{"repository", `{"auths":{"h.example":{"username":"all","password":"p"},"h.example/a":{"username":"a","password":"p"},"h.example/a/b/c":{"username":"c","password":"p"}}}`,
			"h.example", "a/b", authn.AuthConfig{Username: "a", Password: "p"}, "", ""},
		{"repository, exact", `{"auths":{"h.example/a":{"username":"a","password":"p"},"h.example/a/b":{"username":"b","password":"p"}}}`,
			"h.example", "a/b", authn.AuthConfig{Username: "b", Password: "p"}, "", ""},
		{"tokens", `{"auths":{"h.example":{"identitytoken":"i","registrytoken":"r"}}}`, "h.example", "r", authn.AuthConfig{IdentityToken: "i", RegistryToken: "r"}, "", ""},
		{"helper", `{"credHelpers":{"h.example":"good"},"credsStore":"bad","auths":{"h.example":{"auth":"dTpwOnE="}}}`, "h.example", "r", authn.AuthConfig{Username: "u", Password: "from helper"}, "", ""},
		{"helper, token", `{"credHelpers":{"token.example":"good"}}`, "token.example", "r", authn.AuthConfig{IdentityToken: "identity"}, "", ""},
		{"helper that knows nothing", `{"credHelpers":{"x.example":"good"}}`, "x.example", "r", authn.AuthConfig{}, "", ""},
		{"helper of another host", `{"credHelpers":{"x.example":"bad"}}`, "h.example", "r", authn.AuthConfig{}, "", ""},
		{"helper fails", `{"credHelpers":{"h.example":"bad"}}`, "h.example", "r", authn.AuthConfig{}, "docker-credential-bad: error getting credentials - err: exit status 2, out: `cannot open the keychain", ""},
		{"helper is missing", `{"credHelpers":{"h.example":"absent"}}`, "h.example", "r", authn.AuthConfig{}, "executable file not found", ""},
		{"helper answers rubbish", `{"credHelpers":{"h.example":"odd"}}`, "h.example", "r", authn.AuthConfig{}, "docker-credential-odd: unexpected EOF", ""},
		{"helper fails and tells", `{"credHelpers":{"h.example":"leaky"}}`, "h.example", "r", authn.AuthConfig{}, "docker-credential-leaky: failed", ""},
		{"helper that leaves a process", `{"credHelpers":{"h.example":"daemon"}}`, "h.example", "r", authn.AuthConfig{Username: "u", Password: "s"}, "", ""},
		{"helper fails and tells in lower case", `{"credHelpers":{"h.example":"lower"}}`, "h.example", "r", authn.AuthConfig{}, "docker-credential-lower: failed", ""},
		{"helper fails and tells in words", `{"credHelpers":{"h.example":"talks"}}`, "h.example", "r", authn.AuthConfig{}, "docker-credential-talks: failed", ""},
		{"helper that knows nothing, in its own words", `{"credHelpers":{"h.example":"polite"}}`, "h.example", "r", authn.AuthConfig{}, "", ""},
		{"helper of the hub by docker's key", `{"credHelpers":{"https://index.docker.io/v1/":"good"}}`, "index.docker.io", "r", authn.AuthConfig{Username: "hub", Password: "s"}, "", ""},
		{"no password", `{"auths":{"h.example":{"auth":"dTo="}}}`, "h.example", "r", authn.AuthConfig{Username: "u"}, "", ""},
		{"helper says too much", `{"credHelpers":{"h.example":"endless"}}`, "h.example", "r", authn.AuthConfig{}, "docker-credential-endless: failed", ""},
		{"helper is a path", `{"credHelpers":{"h.example":"../x"}}`, "h.example", "r", authn.AuthConfig{}, "not the name of a credential helper", ""},
		{"store", `{"credsStore":"good"}`, "h.example", "r", authn.AuthConfig{Username: "u", Password: "from helper"}, "", ""},
		{"store, hub", `{"credsStore":"good","auths":{"https://index.docker.io/v1/":{}}}`, "index.docker.io", "r", authn.AuthConfig{Username: "hub", Password: "s"}, "", ""},
		{"store that knows nothing", `{"credsStore":"good","auths":{"x.example":{"auth":"dTpwOnE="}}}`, "x.example", "r", authn.AuthConfig{Username: "u", Password: "p:q"}, "", ""},
		{"store is missing", `{"credsStore":"desktop","auths":{"h.example":{"auth":"dTpwOnE="}}}`, "h.example", "r", authn.AuthConfig{Username: "u", Password: "p:q"}, "", "docker-credential-desktop"},
		{"not JSON", `auths:`, "h.example", "r", authn.AuthConfig{}, "byte 0: not JSON: 'a' where a value should be", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var warned string
			got, err := find(t, ctx, &Files{Paths: []string{file(t, c.file)}, Warn: func(s string) { warned += s }}, c.host, c.repo)
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v, %v; want %+v, %q", got, err, c.want, c.err)
			}
			if (warned == "") != (c.warns == "") || !strings.Contains(warned, c.warns) {
				t.Errorf("warned %q, want %q", warned, c.warns)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("%v gives a secret away", err)
			}
		})
	}
}

// TestFileOrder: the first file that knows the host counts.
func TestFileOrder(t *testing.T) {
	files := &Files{Paths: []string{
		"/no/such/file",
		file(t, `{"auths":{"a.example":{"username":"first","password":"p"}}}`),
		file(t, `{"auths":{"a.example":{"username":"second","password":"p"},"b.example":{"username":"second","password":"p"}}}`),
	}}
	for host, want := range map[string]string{"a.example": "first", "b.example": "second", "c.example": ""} {
		if got, err := find(t, ctx, files, host, "r"); err != nil || got.Username != want {
			t.Errorf("%s: %q, %v", host, got.Username, err)
		}
	}
	if _, err := find(t, ctx, &Files{Paths: []string{t.TempDir()}}, "a.example", "r"); err == nil {
		t.Error("a file that cannot be read is skipped")
	}
}

// TestFileOnce: a file is read only once, since some cannot be read twice, and one without
// end is not read to its end.
func TestFileOnce(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	go func() {
		io.WriteString(w, `{"auths":{"h.example":{"auth":"dTpwOnE="}}}`)
		w.Close()
	}()
	files := &Files{Paths: []string{fmt.Sprintf("/proc/self/fd/%d", r.Fd())}}
	for range 2 {
		if got, err := find(t, ctx, files, "h.example", "r"); err != nil || got.Username != "u" {
			t.Errorf("%q, %v", got.Username, err)
		}
	}
	if _, err := find(t, ctx, &Files{Paths: []string{"/dev/zero"}}, "h.example", "r"); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("without end: %v", err)
	}
}

// TestHelperHangs: the wait for a helper has a limit.
func TestHelperHangs(t *testing.T) {
	install(t, "slow", `exec sleep 30`)
	late := errors.New("late")
	ctx, cancel := context.WithTimeoutCause(ctx, 100*time.Millisecond, late)
	defer cancel()
	if _, err := find(t, ctx, &Files{Paths: []string{file(t, `{"credsStore":"slow"}`)}}, "h.example", "r"); !errors.Is(err, late) {
		t.Errorf("%v", err)
	}
}
