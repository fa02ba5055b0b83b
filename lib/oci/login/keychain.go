package login

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/docker/docker-credential-helpers/client"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"ocipipe/lib/jsonfault"
	"ocipipe/lib/oci/hosts"
	"ocipipe/lib/oci/printable"
)

// Files is an [authn.Keychain] over docker's config.json and podman's auth.json.
//
// A credential helper for the host comes before the store for all hosts, and the store
// before the file itself. A key in the file is HOST or, with podman, HOST/PATH; docker's
// old keys are URLs of the API. The longest key that a repository begins with counts. All
// names of Docker Hub count as one.
type Files struct {
	// Paths are the files. The first that has credentials for a repository counts.
	// Files that do not exist are skipped. Each is read once, 16 MiB at most.
	Paths []string
	Warn  func(msg string) // takes messages to the user; nil drops them

	mu   sync.Mutex
	read map[string][]byte
}

const maxFile = 16 << 20

// Password is an [authn.Keychain] with the password of one user, for every host.
type Password struct{ Username, Password string }

// Resolve returns the password.
func (p Password) Resolve(authn.Resource) (authn.Authenticator, error) {
	return sourced{withPassword(authn.AuthConfig{Username: p.Username, Password: p.Password}), fmt.Sprintf("of user %q", p.Username)}, nil
}

// sourced holds credentials, and says in words where they are from.
type sourced struct {
	authn.Authenticator
	from string
}

// withPassword returns the Authenticator of cred. The password may be empty.
func withPassword(cred authn.AuthConfig) authn.Authenticator {
	if cred.Username != "" {
		cred.Auth = basicAuth(cred.Username, cred.Password)
	}
	return authn.FromConfig(cred)
}

// Resolve is ResolveContext without a context: only the time limit of helpers ends it.
func (f *Files) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return f.ResolveContext(context.Background(), r)
}

// ResolveContext returns the credentials for r, a repository or a registry, or
// [authn.Anonymous]. Errors name the file, and show no secret.
func (f *Files) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	for _, file := range f.Paths {
		data, err := f.load(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found, helper, err := f.find(ctx, data, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, jsonfault.Explain(err))
		}
		cred := authn.AuthConfig{Username: found.Username, Password: found.Password,
			IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken}
		if cred.Username == "<token>" { // docker stores an identity token so
			cred = authn.AuthConfig{IdentityToken: cred.Password}
		}
		if cred != (authn.AuthConfig{}) {
			from := "from " + file
			if helper != "" {
				from = "from docker-credential-" + helper + ", which " + file + " names,"
			}
			return sourced{withPassword(cred), from}, nil
		}
	}
	return authn.Anonymous, nil
}

// load reads a file, which may be a pipe, once for all calls.
func (f *Files) load(file string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if data, ok := f.read[file]; ok {
		return data, nil
	}
	data, err := hosts.ReadFile(file, maxFile)
	if err != nil {
		return nil, err
	}
	if f.read == nil {
		f.read = map[string][]byte{}
	}
	f.read[file] = data
	return data, nil
}

// find returns the credentials for r from the file with the content data. If they come from
// a credential helper, find returns its name.
func (f *Files) find(ctx context.Context, data []byte, r authn.Resource) (_ types.AuthConfig, helper string, _ error) {
	conf, err := config.LoadFromReader(bytes.NewReader(data))
	if err != nil {
		return types.AuthConfig{}, "", err
	}
	host := hostOf(r.RegistryStr())
	for _, key := range slices.Sorted(maps.Keys(conf.CredentialHelpers)) {
		if keyOf(key) == host {
			helper = conf.CredentialHelpers[key]
			cred, err := askHelper(ctx, helper, key)
			return cred, helper, err
		}
	}
	if conf.CredentialsStore != "" {
		if host == name.DefaultRegistry {
			host = authn.DefaultAuthKey
		}
		cred, err := askHelper(ctx, conf.CredentialsStore, host)
		switch {
		case errors.Is(err, exec.ErrNotFound) && f.Warn != nil: // the configuration of another machine
			f.Warn("credentials: " + err.Error())
		case errors.Is(err, exec.ErrNotFound):
		case err != nil || !isEmpty(cred):
			return cred, conf.CredentialsStore, err
		}
	}
	return entry(conf, keyOf(r.String())), "", nil
}

// entry returns the credentials in the file itself for where, HOST/PATH, or else for the
// longest part of it.
func entry(conf *configfile.ConfigFile, where string) types.AuthConfig {
	keys := slices.Sorted(maps.Keys(conf.AuthConfigs))
	for ; where != "." && where != "/"; where = path.Dir(where) {
		for _, key := range keys {
			if cred := conf.AuthConfigs[key]; keyOf(key) == where && !isEmpty(cred) {
				return cred
			}
		}
	}
	return types.AuthConfig{}
}

func isEmpty(cred types.AuthConfig) bool {
	cred.ServerAddress = ""
	return cred == types.AuthConfig{}
}

// hostOf returns the host of a key.
func hostOf(key string) string {
	host, _, _ := strings.Cut(keyOf(key), "/")
	return host
}

// keyOf brings a key to the form HOST[/PATH].
func keyOf(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, path, _ := strings.Cut(strings.TrimSuffix(key, "/"), "/")
	host = strings.ToLower(host)
	if host == "docker.io" || host == "registry-1.docker.io" {
		host = name.DefaultRegistry
	}
	if path == "" || path == "v1" || path == "v2" {
		return host
	}
	return host + "/" + path
}

// Limits of a credential helper: its time, in which the user may have to type something,
// and the bytes of its answer.
const (
	helperTimeout   = time.Minute
	maxHelperAnswer = 64 << 10
)

// askHelper asks the credential helper called suffix for key.
func askHelper(ctx context.Context, suffix, key string) (cred types.AuthConfig, err error) {
	name := "docker-credential-" + suffix
	if strings.ContainsRune(suffix, '/') {
		return cred, fmt.Errorf("%q is not the name of a credential helper", suffix)
	}
	if _, err := exec.LookPath(name); err != nil {
		return cred, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, helperTimeout, fmt.Errorf("no answer within %s", helperTimeout))
	defer cancel()
	got, err := client.Get(func(args ...string) client.Program {
		h := helper{exec.CommandContext(ctx, name, args...)}
		h.WaitDelay = time.Second
		return h
	}, key)
	switch {
	case ctx.Err() != nil:
		return cred, fmt.Errorf("%s: %w", name, context.Cause(ctx))
	case err != nil && strings.Contains(strings.ToLower(err.Error()), "not found"): // each helper words it differently
		return cred, nil
	case err != nil:
		return cred, fmt.Errorf("%s: %s", name, complaint(err.Error()))
	}
	return types.AuthConfig{Username: got.Username, Password: got.Secret}, nil
}

// helper is a [client.Program] that ends with its context, and whose output is limited.
type helper struct{ *exec.Cmd }

func (h helper) Input(in io.Reader) { h.Stdin = in }

func (h helper) Output() ([]byte, error) {
	var out limitedBuffer
	h.Stdout = &out
	err := h.Run()
	if errors.Is(err, exec.ErrWaitDelay) { // it has left a process that still holds the pipe
		err = nil
	}
	return out.b, err
}

type limitedBuffer struct{ b []byte }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if len(b.b)+len(p) > maxHelperAnswer {
		return 0, fmt.Errorf("answers with more than %d bytes", maxHelperAnswer)
	}
	b.b = append(b.b, p...)
	return len(p), nil
}

var secretLike = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)secret|password|token|[{}]`)
})

// complaint returns the part of a helper's message that may be shown on a terminal.
func complaint(s string) string {
	if secretLike().MatchString(s) { // perhaps its answer, with the secret
		return "failed"
	}
	s, _, _ = strings.Cut(s, "\n")
	return printable.Text(s[:min(len(s), 300)])
}
