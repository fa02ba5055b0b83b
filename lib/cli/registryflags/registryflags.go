// Package registryflags has the flags about registries, as a struct that a tool embeds: how
// to speak to them, and with which credentials and certificates. It finds those that docker
// and podman keep, and names the flags that help against errors of packages pull and
// registry.
package registryflags

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"time"

	"ocipipe/lib/cli"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/hosts"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/oci/registry"
)

// Access holds the flags of every tool that speaks to registries.
type Access struct {
	Retries int           `default:"5" placeholder:"N" group:"Registry" help:"Retries in a row that bring nothing."`
	Timeout time.Duration `default:"30s" placeholder:"TIME" group:"Registry" help:"How long a registry may be silent."`

	Authfile      string `placeholder:"FILE" group:"Registry" help:"Credentials of registries."`
	Username      string `placeholder:"NAME" group:"Registry" help:"Log in as NAME."`
	PasswordStdin bool   `group:"Registry" help:"Read the password from standard input."`
	CACert        string `name:"ca-cert" placeholder:"FILE" group:"Registry" help:"Certificates of authorities to trust."`
	ClientCert    string `placeholder:"FILE" group:"Registry" help:"Certificate to show to the registry."`
	ClientKey     string `placeholder:"FILE" group:"Registry" help:"Key of that certificate."`
	CertsDir      string `placeholder:"DIR" group:"Registry" help:"Certificates for each registry."`
	Insecure      bool   `group:"Registry" help:"Allow plain HTTP."`
	TLSVerify     *bool  `name:"tls-verify" group:"Registry" help:"Verify certificates, or not (--tls-verify=false)."`

	RegistriesConf string `placeholder:"FILE" group:"Registry" help:"Use FILE as registries.conf."`
}

// Registry holds the flags of a tool that downloads images.
type Registry struct {
	Jobs        int `short:"j" default:"4" placeholder:"N" group:"Download" help:"Layers to download at a time."`
	Connections int `default:"6" placeholder:"N" group:"Download" help:"Connections at a time."`

	Access

	Mirror       []string `sep:"none" placeholder:"HOST" group:"Registry" help:"Mirror to ask first; repeat it for more."`
	AllowForeign bool     `group:"Download" help:"Fetch layers from URLs in the manifest, too."`
}

// firstUsage returns the first usage error that applies.
func firstUsage(faults []fault) error {
	for _, f := range faults {
		if f.is {
			return cli.Usage("%s", f.text)
		}
	}
	return nil
}

type fault struct {
	is   bool
	text string
}

// Check returns an error for flags that are out of range or do not go together.
func (a *Access) Check() error {
	return firstUsage([]fault{
		{a.Retries < 0, "--retries: at least 0"},
		{a.Timeout <= 0, "--timeout: more than 0"},
		{(a.Username != "") != a.PasswordStdin, "--username needs --password-stdin, and that a --username"},
		{(a.ClientCert != "") != (a.ClientKey != ""), "--client-cert needs --client-key, and that a --client-cert"},
	})
}

// Check returns an error for flags that are out of range or do not go together; ref is the
// image that the user asks for.
func (r *Registry) Check(ref string) error {
	for _, m := range r.Mirror {
		if _, err := hosts.ParseMirror(m, ""); err != nil {
			return cli.Usage("--mirror: %v", err)
		}
	}
	err := firstUsage([]fault{
		{r.Jobs < 1, "-j: at least 1"},
		{r.Connections < 1, "--connections: at least 1"},
	})
	if err == nil {
		err = r.Access.Check()
	}
	if err == nil && r.PasswordStdin && oci.IsLocal(ref) {
		err = cli.Usage("--password-stdin: the image is not from a registry")
	}
	return err
}

// Options returns the options that the flags mean, and the configuration files that they
// stand in for. With --password-stdin it reads standard input.
func (a *Access) Options(env *cli.Env) (opts registry.Options, err error) {
	retries := a.Retries
	if retries == 0 {
		retries = -1
	}
	opts = registry.Options{Username: a.Username, Insecure: a.Insecure, Retries: retries, Timeout: a.Timeout, Warn: env.Warn}
	if opts.AuthFiles, err = a.authFiles(); err != nil {
		return opts, err
	}
	if opts.Certs, err = a.certs(); err != nil {
		return opts, err
	}
	if opts.Configs, err = a.configs(); err != nil {
		return opts, err
	}
	if a.PasswordStdin {
		opts.Password, err = readPassword(env)
	}
	return opts, err
}

// Fill puts the flags into opts.
func (r *Registry) Fill(env *cli.Env, opts *pull.Options) (err error) {
	opts.Jobs, opts.AllowForeign = r.Jobs, r.AllowForeign
	opts.Registry, err = r.Options(env)
	opts.Registry.Mirrors, opts.Registry.Connections = r.Mirror, r.Connections
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
		return "", errors.New("standard input: has no password")
	}
	return line, nil
}
