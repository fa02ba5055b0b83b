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

// Registry holds the flags.
type Registry struct {
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

// Check returns an error for flags that are out of range or do not go together; ref is the
// image that the user asks for.
func (r *Registry) Check(ref string) error {
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
		{(r.Username != "") != r.PasswordStdin, "--username needs --password-stdin, and that a --username"},
		{r.PasswordStdin && oci.IsLocal(ref), "--password-stdin: the image is not from a registry"},
		{(r.ClientCert != "") != (r.ClientKey != ""), "--client-cert needs --client-key, and that a --client-cert"},
	} {
		if c.wrong {
			return cli.Usage("%s", c.text)
		}
	}
	return nil
}

// Fill puts the flags into opts, and the configuration files that they stand in for. With
// --password-stdin it reads standard input.
func (r *Registry) Fill(env *cli.Env, opts *pull.Options) (err error) {
	opts.Jobs, opts.AllowForeign = r.Jobs, r.AllowForeign
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
		opts.Registry.Password, err = readPassword(env)
	}
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
