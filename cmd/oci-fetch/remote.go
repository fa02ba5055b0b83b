package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ocipipe/lib/cas"
	"ocipipe/lib/cli"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/hosts"
	"ocipipe/lib/oci/registry"
)

// remote is the flags about registries and the cache.
type remote struct {
	Cache       string `env:"OCIPIPE_CACHE" placeholder:"DIR" help:"Keep what registries send in DIR, an OCI layout; without it $$XDG_CACHE_HOME/ocipipe or ~/.cache/ocipipe."`
	NoCache     bool   `help:"Keep nothing."`
	VerifyCache bool   `help:"Hash what is taken from the cache; what is corrupt is fetched anew."`
	Pull        string `enum:"if-missing,always,never" default:"if-missing" placeholder:"WHEN" help:"When to ask the registry what a tag means: if-missing, always (and still take blobs from the cache), or never, without network."`
	Force       bool   `help:"Fetch everything anew, whatever the cache has."`

	Jobs        int           `short:"j" default:"4" placeholder:"N" help:"Layers to download at a time."`
	Connections int           `default:"6" placeholder:"N" help:"Most connections for blobs; large ones are fetched in several ranges."`
	Retries     int           `default:"5" placeholder:"N" help:"Attempts after one that got next to nothing, each after a longer wait."`
	Timeout     time.Duration `default:"30s" placeholder:"TIME" help:"How long a registry may be silent."`

	Authfile      string   `placeholder:"FILE" help:"Credentials, in place of $$REGISTRY_AUTH_FILE or those of docker and podman."`
	Username      string   `placeholder:"NAME" help:"Log in to the registry as NAME; needs --password-stdin."`
	PasswordStdin bool     `help:"Read the password, one line, from standard input."`
	CACert        string   `name:"ca-cert" placeholder:"FILE" help:"Trust these certificates too."`
	ClientCert    string   `placeholder:"FILE" help:"Certificate to show to the registry; needs --client-key."`
	ClientKey     string   `placeholder:"FILE" help:"Its key."`
	CertsDir      string   `placeholder:"DIR" help:"Certificates of hosts, DIR/HOST[:PORT]/*.crt (authorities), *.cert with *.key (to show them), in place of the directories certs.d of podman and docker."`
	Insecure      bool     `help:"Allow plain HTTP; to this machine it always is."`
	TLSVerify     *bool    `name:"tls-verify" help:"With =false no certificate is verified: whoever is on the way can read passwords and choose what a tag means. Alone, all are, whatever registries.conf says."`
	Mirror        []string `sep:"none" placeholder:"HOST" help:"Ask this host first, [http://]HOST[:PORT][/PREFIX]; several are asked in order, then those of registries.conf."`

	RegistriesConf string `placeholder:"FILE" help:"Mirrors, locations, insecure and blocked registries, in place of $$CONTAINERS_REGISTRIES_CONF or podman's registries.conf and registries.conf.d; /dev/null has none."`
	AllowForeign   bool   `help:"Fetch layers that the registry does not have from the URLs in the manifest."`
}

// check finds what kong cannot.
func (r *remote) check(ref string) error {
	for _, m := range r.Mirror {
		if _, err := hosts.ParseMirror(m, ""); err != nil {
			return cli.Usage("--mirror: %v", err)
		}
	}
	for _, c := range []struct {
		wrong bool
		text  string
	}{
		{r.Jobs < 1, "-j: at least 1"},
		{r.Connections < 1, "--connections: at least 1"},
		{r.Retries < 0, "--retries: at least 0"},
		{r.Timeout <= 0, "--timeout: more than 0"},
		{r.Pull == "never" && (r.NoCache || r.Force), "--pull never takes all from the cache: not with --no-cache or --force"},
		{(r.Username != "") != r.PasswordStdin, "--username needs --password-stdin, and that a --username"},
		{r.PasswordStdin && !oci.InRegistry(ref), "--password-stdin: the image is not from a registry"},
		{(r.ClientCert != "") != (r.ClientKey != ""), "--client-cert needs --client-key, and that a --client-cert"},
	} {
		if c.wrong {
			return cli.Usage("%s", c.text)
		}
	}
	return nil
}

// fill sets what opts need to read ref from a registry.
func (r *remote) fill(env *cli.Env, ref string, opts *oci.Options) (err error) {
	if !oci.InRegistry(ref) {
		return nil
	}
	opts.Jobs, opts.AllowForeign = r.Jobs, r.AllowForeign
	opts.Pull = map[string]oci.PullPolicy{"if-missing": oci.PullIfMissing, "always": oci.PullAlways, "never": oci.PullNever}[r.Pull]
	if r.Force {
		opts.Pull = oci.PullAlways
	}
	retries := r.Retries
	if retries == 0 {
		retries = -1
	}
	opts.Registry = registry.Options{
		Username: r.Username, Insecure: r.Insecure, Mirrors: r.Mirror, Retries: retries, Connections: r.Connections, Timeout: r.Timeout,
		Warn: env.Warn,
	}
	if opts.Registry.AuthFiles, err = r.authFiles(); err != nil {
		return err
	}
	if opts.Registry.Certs, err = r.certs(); err != nil {
		return err
	}
	if opts.Registry.Configs, err = r.configs(); err != nil {
		return err
	}
	if r.PasswordStdin {
		if opts.Registry.Password, err = readPassword(env); err != nil {
			return err
		}
	}
	opts.Cache, err = r.cache(env)
	return err
}

// readPassword reads the first line of standard input.
func readPassword(env *cli.Env) (string, error) {
	in, err := env.Open("-")
	if err != nil {
		return "", err
	}
	line, err := bufio.NewReader(io.LimitReader(in, 1<<16)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errors.New("standard input: no password there")
	}
	return line, nil
}

// cache opens the cache. Nobody has asked for the default one, so its failure is
// only a warning, and where there is no home there is no cache.
func (r *remote) cache(env *cli.Env) (*cas.Store, error) {
	if r.NoCache {
		return nil, nil
	}
	opts := cas.Options{Verify: r.VerifyCache, Fresh: r.Force, Warn: env.Warn}
	if r.Cache != "" {
		s, err := openCache(env, r.Cache, opts)
		if errors.Is(err, cas.ErrStore) {
			err = cli.Hint(err, "--cache DIR keeps it elsewhere, --no-cache nowhere")
		}
		return s, err
	}
	home, _ := os.UserHomeDir()
	base := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(base) { // as its specification has it
		base = below(home, ".cache")
	}
	if base == "" {
		if r.Pull == "never" {
			return nil, fmt.Errorf("--pull never: no cache: neither --cache nor a home directory")
		}
		return nil, nil
	}
	dir := filepath.Join(base, "ocipipe")
	os.MkdirAll(dir, 0o700) // what is private stays so; a failure shows again
	s, err := openCache(env, dir, opts)
	if err != nil && r.Pull != "never" {
		env.Warn(err.Error() + ": going on without it")
		return nil, nil
	}
	return s, err
}

// keepParts is for how long a download that was broken off can be gone on with.
const keepParts = 7 * 24 * time.Hour

// openCache opens the cache in dir and removes what killed processes left there
// long ago. That it cannot do so, in one that is read-only, does not matter.
func openCache(env *cli.Env, dir string, opts cas.Options) (*cas.Store, error) {
	s, err := cas.Open(env.Context, dir, opts)
	if err != nil {
		return nil, err
	}
	if err := s.Collect(env.Context, time.Now().Add(-keepParts)); err != nil && !errors.Is(err, cas.ErrStore) {
		return nil, err
	}
	return s, nil
}
