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
	Cache       string `env:"OCIPIPE_CACHE" placeholder:"DIR" group:"Cache" help:"Cache for what registries send."`
	NoCache     bool   `group:"Cache" help:"Keep nothing in a cache."`
	VerifyCache bool   `group:"Cache" help:"Check the digests of what is in the cache."`
	Pull        string `enum:"if-missing,always,never" default:"if-missing" placeholder:"WHEN" group:"Cache" help:"Ask for a tag: if-missing, always or never."`
	Force       bool   `group:"Cache" help:"Fetch everything again."`

	Jobs        int           `short:"j" default:"4" placeholder:"N" group:"Download" help:"Layers to download at a time."`
	Connections int           `default:"6" placeholder:"N" group:"Download" help:"Connections at a time."`
	Retries     int           `default:"5" placeholder:"N" group:"Download" help:"Retries of a download without progress."`
	Timeout     time.Duration `default:"30s" placeholder:"TIME" group:"Download" help:"How long a registry may be silent."`

	Authfile      string   `placeholder:"FILE" group:"Registry" help:"Credentials of registries."`
	Username      string   `placeholder:"NAME" group:"Registry" help:"Log in as NAME."`
	PasswordStdin bool     `group:"Registry" help:"Read the password from standard input."`
	CACert        string   `name:"ca-cert" placeholder:"FILE" group:"Registry" help:"Certificates of authorities to trust."`
	ClientCert    string   `placeholder:"FILE" group:"Registry" help:"Certificate to show to the registry."`
	ClientKey     string   `placeholder:"FILE" group:"Registry" help:"Key of that certificate."`
	CertsDir      string   `placeholder:"DIR" group:"Registry" help:"Certificates for each registry."`
	Insecure      bool     `group:"Registry" help:"Allow plain HTTP."`
	TLSVerify     *bool    `name:"tls-verify" group:"Registry" help:"Verify certificates, or not (--tls-verify=false)."`
	Mirror        []string `sep:"none" placeholder:"HOST" group:"Registry" help:"Mirror to ask first; repeat it for more."`

	RegistriesConf string `placeholder:"FILE" group:"Registry" help:"Use FILE as registries.conf."`
	AllowForeign   bool   `group:"Download" help:"Fetch layers from URLs in the manifest, too."`
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
