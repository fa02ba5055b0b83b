package registryflags

import (
	"errors"
	"fmt"
	"strings"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/oci/registry"
)

// Advise returns a hint for err, about an image in a registry, or "".
func (r *Registry) Advise(err error) string {
	var (
		about   *pull.ReferenceError
		mirror  *pull.MirrorError
		foreign *oci.ForeignError
	)
	if errors.As(err, &about) {
		if hint := adviseReference(about); hint != "" {
			return hint
		}
	}
	switch {
	case errors.As(err, &mirror):
		return "it came through the mirror " + strings.Join(mirror.Mirrors, ", ")
	case errors.As(err, &foreign) && !r.AllowForeign:
		return "--allow-foreign fetches it there"
	}
	return r.Access.Advise(err)
}

// Advise returns a hint for err, of package registry, or "".
func (a *Access) Advise(err error) string {
	var failed *registry.Error
	if errors.As(err, &failed) {
		return adviseFailure(failed)
	}
	return ""
}

func adviseReference(e *pull.ReferenceError) string {
	switch {
	case strings.HasPrefix(e.File, "oci:"):
		return "for the layout in that directory write " + e.File
	case e.File != "":
		return "for the file write " + e.File
	case e.DefaultTag != "":
		return fmt.Sprintf("no tag was given, so %q was asked for; %s:TAG names another", e.DefaultTag, e.Ref)
	case e.Lower != "":
		return "write " + e.Lower
	}
	return ""
}

func adviseFailure(e *registry.Error) string {
	const skip = "--tls-verify=false trusts anybody"
	switch e.Remedy {
	case registry.AllowHTTP:
		return "--insecure allows plain HTTP"
	case registry.TrustAuthority:
		return "--ca-cert FILE names an authority to trust; " + skip
	case registry.SkipVerification:
		return skip
	case registry.ShowCertificate:
		return "--client-cert FILE and --client-key FILE show the registry who you are, a directory of --certs-dir any host"
	case registry.LogIn:
		return adviseLogin(e.Missing)
	}
	return ""
}

func adviseLogin(m registry.MissingLogin) string {
	hint := fmt.Sprintf("no credentials for %s were found: docker login or podman login stores them, --authfile FILE names others", m.Host)
	switch {
	case m.UsernameFor != "":
		hint += fmt.Sprintf("; --username is for %s, which %s replaces", m.UsernameFor, m.ReplacedBy)
	case m.NotAsked != "":
		hint += "; " + m.NotAsked
	}
	return hint
}
