// Package registry reads repositories of container registries: manifests, and
// blobs in one stream or in several ranges at once. It implements the OCI
// distribution specification 1.1, what Docker's registries did before it, and
// the token protocols that registries use in place of it.
//
// A download resumes where it broke off: every request for a blob asks for the bytes
// that are still missing. Where a server sends the whole blob instead, the bytes that
// are there already are skipped. Failures that may pass (see [Temporary]) are tried
// again, after a growing wait or the one that the server asks for. The count of attempts
// begins anew whenever bytes have arrived.
//
// Nothing here verifies digests; the caller does.
//
// Package login logs in: each repository of each registry and mirror has a login of its
// own. Where a redirect leads, neither a password nor a client certificate is sent, and
// a redirect from TLS to plain HTTP is refused. Package hosts finds the certificates and
// the place of an image. Errors name hosts, not URLs, whose queries may be signed, and
// have every secret that was sent struck out.
//
// Not supported: HTTP/2 (a download in ranges wants several connections).
package registry
