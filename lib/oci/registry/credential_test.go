package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// helper puts a credential helper called name into PATH. It answers for one host
// and says as those of docker that it knows no other.
func helper(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\nread host\n"+script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestCredentials(t *testing.T) {
	helper(t, "good", `case $1,$host in
get,h.example) echo '{"ServerURL":"h.example","Username":"u","Secret":"from helper"}' ;;
get,token.example) echo '{"Username":"<token>","Secret":"identity"}' ;;
get,https://index.docker.io/v1/) echo '{"Username":"hub","Secret":"s"}' ;;
*) echo "credentials not found in native keychain"; exit 1 ;;
esac`)
	helper(t, "bad", `echo "cannot open the keychain"; echo more; exit 2`)
	helper(t, "odd", `echo '{"Username":"u","Secret":"hush"'; exit 0`)
	helper(t, "leaky", `echo '{"Username":"u","Secret":"hush"}'; exit 1`)
	for _, c := range []struct {
		name, file, host, repo string
		want                   Credential
		err, warns             string
	}{
		{"none", `{}`, "h.example", "r", Credential{}, "", ""},
		{"empty file", ``, "h.example", "r", Credential{}, "", ""},
		{"empty entry", `{"auths":{"h.example":{}}}`, "h.example", "r", Credential{}, "", ""},
		{"auth", `{"auths":{"h.example":{"auth":"dTpwOnE="}}}`, "h.example", "r", Credential{Username: "u", Password: "p:q"}, "", ""},
		{"auth without padding", `{"auths":{"h.example":{"auth":"dTpwOnE"}}}`, "h.example", "r", Credential{Username: "u", Password: "p:q"}, "", ""},
		{"another port", `{"auths":{"h.example":{"auth":"dTpwOnE="}}}`, "h.example:5000", "r", Credential{}, "", ""},
		{"url", `{"auths":{"https://H.example/v1/":{"username":"u","password":"p"}}}`, "h.example", "r", Credential{Username: "u", Password: "p"}, "", ""},
		{"hub", `{"auths":{"https://index.docker.io/v1/":{"username":"u","password":"p"}}}`, "index.docker.io", "library/x", Credential{Username: "u", Password: "p"}, "", ""},
		{"hub by its short name", `{"auths":{"docker.io":{"username":"u","password":"p"}}}`, "index.docker.io", "library/x", Credential{Username: "u", Password: "p"}, "", ""},
		{"repository", `{"auths":{"h.example":{"username":"all","password":"p"},"h.example/a":{"username":"a","password":"p"},"h.example/a/b/c":{"username":"c","password":"p"}}}`,
			"h.example", "a/b", Credential{Username: "a", Password: "p"}, "", ""},
		{"repository, exact", `{"auths":{"h.example/a":{"username":"a","password":"p"},"h.example/a/b":{"username":"b","password":"p"}}}`,
			"h.example", "a/b", Credential{Username: "b", Password: "p"}, "", ""},
		{"tokens", `{"auths":{"h.example":{"identitytoken":"i","registrytoken":"r"}}}`, "h.example", "r", Credential{IdentityToken: "i", RegistryToken: "r"}, "", ""},
		{"helper", `{"credHelpers":{"h.example":"good"},"credsStore":"bad","auths":{"h.example":{"auth":"dTpwOnE="}}}`, "h.example", "r", Credential{Username: "u", Password: "from helper"}, "", ""},
		{"helper, token", `{"credHelpers":{"token.example":"good"}}`, "token.example", "r", Credential{IdentityToken: "identity"}, "", ""},
		{"helper that knows nothing", `{"credHelpers":{"x.example":"good"}}`, "x.example", "r", Credential{}, "", ""},
		{"helper of another host", `{"credHelpers":{"x.example":"bad"}}`, "h.example", "r", Credential{}, "", ""},
		{"helper fails", `{"credHelpers":{"h.example":"bad"}}`, "h.example", "r", Credential{}, "docker-credential-bad: exit status 2: cannot open the keychain", ""},
		{"helper is missing", `{"credHelpers":{"h.example":"absent"}}`, "h.example", "r", Credential{}, "executable file not found", ""},
		{"helper answers rubbish", `{"credHelpers":{"h.example":"odd"}}`, "h.example", "r", Credential{}, "docker-credential-odd: its answer is not JSON", ""},
		{"helper fails and tells", `{"credHelpers":{"h.example":"leaky"}}`, "h.example", "r", Credential{}, "docker-credential-leaky: exit status 1", ""},
		{"helper is a path", `{"credHelpers":{"h.example":"../x"}}`, "h.example", "r", Credential{}, "not the name of a credential helper", ""},
		{"store", `{"credsStore":"good"}`, "h.example", "r", Credential{Username: "u", Password: "from helper"}, "", ""},
		{"store, hub", `{"credsStore":"good","auths":{"https://index.docker.io/v1/":{}}}`, "index.docker.io", "r", Credential{Username: "hub", Password: "s"}, "", ""},
		{"store that knows nothing", `{"credsStore":"good","auths":{"x.example":{"auth":"dTpwOnE="}}}`, "x.example", "r", Credential{Username: "u", Password: "p:q"}, "", ""},
		{"store is missing", `{"credsStore":"desktop","auths":{"h.example":{"auth":"dTpwOnE="}}}`, "h.example", "r", Credential{Username: "u", Password: "p:q"}, "", "docker-credential-desktop"},
		{"not JSON", `auths:`, "h.example", "r", Credential{}, "invalid character", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var warned string
			client, err := New(Options{AuthFiles: []string{authFileOf(t, "", c.file)}, Warn: func(s string) { warned += s }})
			must(t, err)
			got, err := client.credential(ctx, c.host, c.repo)
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

// TestAuthFileOrder: the first file that knows the host counts.
func TestAuthFileOrder(t *testing.T) {
	files := []string{
		authFileOf(t, "", `{"auths":{"a.example":{"username":"first","password":"p"}}}`),
		authFileOf(t, "", `{"auths":{"a.example":{"username":"second","password":"p"},"b.example":{"username":"second","password":"p"}}}`),
	}
	client, err := New(Options{AuthFiles: files})
	must(t, err)
	for host, want := range map[string]string{"a.example": "first", "b.example": "second", "c.example": ""} {
		if got, err := client.credential(ctx, host, "r"); err != nil || got.Username != want {
			t.Errorf("%s: %q, %v", host, got.Username, err)
		}
	}
	must(t, os.Chmod(files[0], 0o000))
	if os.Geteuid() != 0 {
		if _, err := client.credential(ctx, "b.example", "r"); err == nil {
			t.Error("a file that cannot be read is skipped")
		}
	}
}
