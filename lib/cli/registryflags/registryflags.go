// Package registryflags is the flags about registries, a struct to be embedded in a tool:
// how they are spoken to, with which credentials and certificates, and where docker and
// podman keep those. It knows as well what these flags do against the errors of packages
// pull and registry.
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

// Registry is the flags.
type Registry struct {
	Jobs        int           `short:"j" default:"4" placeholder:"N" help:"Layers to download at a time."`
	Connections int           `default:"6" placeholder:"N" help:"Most connections for blobs; large ones are fetched in several ranges."`
	Retries     int           `default:"5" placeholder:"N" help:"Times to try again after a failure, each after a longer wait; once data has arrived they are counted anew."`
	Timeout     time.Duration `default:"30s" placeholder:"TIME" help:"How long a registry may be silent."`

	Authfile      string   `placeholder:"FILE" help:"Credentials, in place of $$REGISTRY_AUTH_FILE or those of docker and podman."`
	Username      string   `placeholder:"NAME" help:"Log in to the registry as NAME; needs --password-stdin."`
	PasswordStdin bool     `help:"Read the password, one line, from standard input."`
	CACert        string   `name:"ca-cert" placeholder:"FILE" help:"Trust these certificates too."`
	ClientCert    string   `placeholder:"FILE" help:"Certificate to show to the registry; needs --client-key."`
	ClientKey     string   `placeholder:"FILE" help:"Its key."`
	CertsDir      string   `placeholder:"DIR" help:"Certificates of hosts, DIR/HOST[:PORT]/*.crt (authorities), *.cert with *.key (to show them), in place of the directories certs.d of podman and docker."`
	Insecure      bool     `help:"Allow plain HTTP; to this machine it always is."`
	TLSVerify     *bool    `name:"tls-verify" help:"With =false no certificate is verified: anyone on the way can read passwords and choose what a tag means. Without a value all certificates are verified, whatever registries.conf says."`
	Mirror        []string `sep:"none" placeholder:"HOST" help:"Ask this host first, [http://]HOST[:PORT][/PREFIX]; several are asked in order, then those of registries.conf."`

	RegistriesConf string `placeholder:"FILE" help:"Mirrors, locations, insecure and blocked registries, in place of $$CONTAINERS_REGISTRIES_CONF or podman's registries.conf and registries.conf.d; /dev/null has none."`
	AllowForeign   bool   `help:"Fetch layers that the registry does not have from the URLs in the manifest."`
}

// Check finds what kong cannot; ref is the image that is asked for.
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

// Fill sets what the flags say, and the files that they stand in for. With
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
		return "", errors.New("standard input: no password there")
	}
	return line, nil
}
