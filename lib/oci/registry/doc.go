// Package registry reads repositories of container registries: manifests, and
// blobs in one stream or in several ranges at once. It implements the OCI
// distribution specification 1.1, what Docker's registries did before it, and
// the token protocols that registries use in place of it.
//
// A download goes on where it broke off: every request for a blob asks for the
// bytes that are still missing, and a server that sends all of it again has the
// rest of that skipped. Failures that may pass (see [Temporary]) are tried again,
// after a growing wait or the one that the server asks for; the count of attempts
// begins anew whenever bytes have arrived.
//
// Nothing here verifies digests: who asks for a blob does.
//
// Logging in is package login's: each repository of each registry and mirror has a
// login of its own. A redirect leads to where nobody is known, neither by a password
// nor by a certificate, and not from TLS to where there is none. Certificates, and where
// an image is to be had, are package hosts'. Errors name hosts, not URLs, whose queries may be signed, and
// have whatever was sent as a secret struck out.
//
// Not supported: HTTP/2 (a download in ranges wants several connections).
package registry
