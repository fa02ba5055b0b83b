// Package login logs in to registries: it finds credentials where docker and podman keep
// them, and uses go-containerregistry's packages authn and transport.
//
// Credentials go to the host that they are for and to the token server that this host
// names, never where a redirect leads. This package adds rules to those packages: it does
// not step down from TLS, bounds time and memory, does not send an identity token on after
// a redirect, takes the field names of tokens exactly, and prefers token servers to
// passwords if a registry offers both.
//
// Not supported: Negotiate and Digest logins; several challenges in one header; a
// token server at an address of a private network that is not the registry's own
// HOST:PORT (a name works).
package login
