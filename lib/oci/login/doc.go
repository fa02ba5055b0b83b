// Package login logs in to registries: it finds credentials where docker and podman keep
// them, and uses go-containerregistry's packages authn and transport.
//
// Credentials go to the host that they are for and to the token server that this
// host names, never to where a redirect leads. Beyond what these packages do by
// themselves, the following holds: no step down from TLS, no time or memory without a bound, no
// identity token sent on by a redirect, field names of tokens that are taken exactly,
// and token servers before passwords where a registry offers both.
//
// Not supported: Negotiate and Digest logins; several challenges in one header; a
// token server at an address of a private network that is not the registry's own
// HOST:PORT (by name it is taken).
package login
