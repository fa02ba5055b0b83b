package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Credential is what logs in to a registry; the zero value is anonymous.
type Credential struct {
	Username, Password string
	IdentityToken      string // to be exchanged for a token
	RegistryToken      string // the token itself
}

// authFile is a configuration of docker, or podman's auth.json.
type authFile struct {
	Auths       map[string]authEntry `json:"auths"`
	CredHelpers map[string]string    `json:"credHelpers"`
	CredsStore  string               `json:"credsStore"`
}

type authEntry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// credential is what the first of the auth files that knows host has for it, or
// for the repository or a part of its path.
func (c *Client) credential(ctx context.Context, host, repo string) (Credential, error) {
	for _, path := range c.opts.AuthFiles {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Credential{}, err
		}
		var f authFile
		if len(bytes.TrimSpace(data)) > 0 {
			if err := json.Unmarshal(data, &f); err != nil {
				return Credential{}, fmt.Errorf("%s: %w", path, err)
			}
		}
		cred, err := c.fromFile(ctx, f, host, repo)
		if err != nil {
			return Credential{}, fmt.Errorf("%s: %w", path, err)
		}
		if cred != (Credential{}) {
			return cred, nil
		}
	}
	return Credential{}, nil
}

// fromFile follows docker's order: the helper of the host, the store of all, the
// file itself.
func (c *Client) fromFile(ctx context.Context, f authFile, host, repo string) (Credential, error) {
	for _, key := range slices.Sorted(maps.Keys(f.CredHelpers)) {
		if hostOf(key) == hostOf(host) && !strings.Contains(key, "/") {
			return askHelper(ctx, f.CredHelpers[key], key)
		}
	}
	if f.CredsStore != "" {
		cred, err := askHelper(ctx, f.CredsStore, storeKey(host))
		switch {
		case errors.Is(err, exec.ErrNotFound): // the configuration of another machine
			c.warn("credentials: %v", err)
		case err != nil || cred != Credential{}:
			return cred, err
		}
	}
	keys := slices.Sorted(maps.Keys(f.Auths))
	for name := hostOf(host) + "/" + repo; ; {
		for _, key := range keys {
			if keyOf(key) != strings.TrimSuffix(name, "/") {
				continue
			}
			cred, err := f.Auths[key].credential()
			if err != nil {
				return Credential{}, fmt.Errorf("auth of %s: %w", key, err)
			}
			if cred != (Credential{}) {
				return cred, nil
			}
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return Credential{}, nil
		}
		name = name[:i]
	}
}

func (a authEntry) credential() (cred Credential, err error) {
	cred = Credential{a.Username, a.Password, a.IdentityToken, a.RegistryToken}
	if a.Auth != "" {
		cred.Username, cred.Password, err = decodeAuth(a.Auth)
	}
	if cred.Username == tokenUser {
		cred = Credential{IdentityToken: cred.Password}
	}
	return cred, err
}

// dockerHub is the one name of a registry that has several.
const dockerHub = "index.docker.io"

// hostOf is the host of a key, with all names of Docker Hub being one.
func hostOf(key string) string {
	host, _, _ := strings.Cut(keyOf(key), "/")
	return host
}

// keyOf brings a key of auths to the form HOST[/PATH]: old ones are URLs of the
// API.
func keyOf(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, path, _ := strings.Cut(strings.TrimSuffix(key, "/"), "/")
	host = strings.ToLower(host)
	if host == "docker.io" || host == "registry-1.docker.io" {
		host = dockerHub
	}
	if path == "" || path == "v1" || path == "v2" {
		return host
	}
	return host + "/" + path
}

// storeKey is under what docker keeps a host in a store.
func storeKey(host string) string {
	if hostOf(host) == dockerHub {
		return "https://" + dockerHub + "/v1/"
	}
	return host
}

// decodeAuth reads base64 of USERNAME:PASSWORD.
func decodeAuth(s string) (username, password string, err error) {
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "= \n"))
	username, password, ok := strings.Cut(string(data), ":")
	if err != nil || !ok {
		return "", "", errors.New("not base64 of USERNAME:PASSWORD")
	}
	return username, strings.TrimRight(password, "\x00"), nil
}

const (
	tokenUser     = "<token>" // in place of a user name: the password is an identity token
	helperTimeout = time.Minute
	maxHelperText = 200
)

var helperName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// askHelper runs the credential helper called name, by docker's protocol. One
// that knows nothing of the host gives no credential.
func askHelper(ctx context.Context, name, key string) (Credential, error) {
	if !helperName.MatchString(name) {
		return Credential{}, fmt.Errorf("%q is not the name of a credential helper", name)
	}
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-credential-"+name, "get")
	cmd.Stdin = strings.NewReader(key)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	text := string(out)
	switch {
	case ctx.Err() != nil:
		return Credential{}, fmt.Errorf("%s: %w", cmd.Args[0], context.Cause(ctx))
	case errors.As(err, new(*exec.ExitError)) && strings.Contains(strings.ToLower(text), "not found"):
		return Credential{}, nil
	case errors.As(err, new(*exec.ExitError)) && !strings.Contains(text, "Secret"):
		text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
		return Credential{}, fmt.Errorf("%s: %w: %s", cmd.Args[0], err, printable(text[:min(len(text), maxHelperText)]))
	case err != nil:
		return Credential{}, fmt.Errorf("%s: %w", cmd.Args[0], err)
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out, &answer); err != nil {
		return Credential{}, fmt.Errorf("%s: its answer is not JSON", cmd.Args[0])
	}
	if answer.Username == tokenUser {
		return Credential{IdentityToken: answer.Secret}, nil
	}
	return Credential{Username: answer.Username, Password: answer.Secret}, nil
}
