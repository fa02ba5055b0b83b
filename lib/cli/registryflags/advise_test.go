package registryflags

import (
	"errors"
	"fmt"
	"testing"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/oci/registry"
)

func TestAdvise(t *testing.T) {
	cause := errors.New("cause")
	failed := func(r registry.Remedy) error { return &registry.Error{Err: cause, Remedy: r} }
	login := func(m registry.MissingLogin) error {
		return &registry.Error{Err: cause, Remedy: registry.LogIn, Missing: m}
	}
	const found = "no credentials for host were found: docker login or podman login stores them, --authfile FILE names others"
	for _, c := range []struct {
		err  error
		want string
	}{
		{cause, ""},
		{&pull.ReferenceError{Ref: "a", Err: cause}, ""},
		{&pull.ReferenceError{Ref: "a", Err: cause, File: "oci:a", DefaultTag: "latest"}, "for the layout in that directory write oci:a"},
		{&pull.ReferenceError{Ref: "a", Err: cause, File: "oci-archive:a"}, "for the file write oci-archive:a"},
		{&pull.ReferenceError{Ref: "a", Err: cause, DefaultTag: "latest"}, `no tag was given, so "latest" was asked for; a:TAG names another`},
		{&pull.ReferenceError{Ref: "A:V1", Err: cause, Lower: "a:V1"}, "write a:V1"},
		{&pull.ReferenceError{Ref: "a", Err: failed(registry.AllowHTTP)}, "--insecure allows plain HTTP"},
		{&pull.MirrorError{Mirrors: []string{"x", "y"}, Err: failed(registry.AllowHTTP)}, "it came through the mirror x, y"},
		{&oci.LayerError{Layer: 1, Err: &oci.ForeignError{URL: "u"}}, "--allow-foreign fetches it there"},
		{failed(registry.NoRemedy), ""},
		{failed(registry.TrustAuthority), "--ca-cert FILE names an authority to trust; --tls-verify=false trusts anybody"},
		{failed(registry.SkipVerification), "--tls-verify=false trusts anybody"},
		{failed(registry.ShowCertificate), "--client-cert FILE and --client-key FILE show the registry who you are, a directory of --certs-dir any host"},
		{login(registry.MissingLogin{Host: "host"}), found},
		{login(registry.MissingLogin{Host: "host", NotAsked: "helpers are not asked"}), found + "; helpers are not asked"},
		{login(registry.MissingLogin{Host: "host", UsernameFor: "name", ReplacedBy: "FILE"}), found + "; --username is for name, which FILE replaces"},
	} {
		if got := (&Registry{}).Advise(fmt.Errorf("where: %w", c.err)); got != c.want {
			t.Errorf("%#v: %q, want %q", c.err, got, c.want)
		}
	}
	if got := (&Registry{AllowForeign: true}).Advise(&oci.ForeignError{}); got != "" {
		t.Errorf("a flag that was given: %q", got)
	}
}
