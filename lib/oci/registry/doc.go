// Package registry reads and writes repositories of container registries: manifests, and
// blobs in one stream or in several ranges at once. It implements the OCI
// distribution specification 1.1, the protocol of Docker's registries before it, and the
// token protocols that registries use besides.
//
// A download resumes where it broke off: every request for a blob asks for the bytes that
// are still missing. If a server sends the whole blob instead, the bytes that have arrived
// already are skipped. After a failure that may pass (see [Temporary]) the package tries
// again, after a growing wait or the one that the server asks for. The count of attempts
// begins anew whenever bytes have arrived.
//
// An upload goes in chunks ([Target.Upload]). After a failure the registry is asked how many
// bytes it has. A registry that does not say, or that has forgotten the upload, gets the blob
// from its beginning; one that refuses chunks gets it in one PATCH, as docker sends it, or in
// one PUT; one that refuses a chunk as too large gets smaller ones. A Location at another host
// gets the blob without credentials, and must not be a private address.
//
// The package does not verify digests of what it reads; the caller must. The digest that a
// registry states for what it was sent must be the right one.
//
// Package login logs in: each repository of each registry and mirror has a login of its
// own. After a redirect neither a password nor a client certificate is sent, and a redirect
// from TLS to plain HTTP is refused. Package hosts finds the certificates and the hosts of
// an image. Errors name hosts, not URLs, whose queries may be signed, and every secret that
// was sent is struck out of them.
//
// Not supported: HTTP/2 (a download in ranges wants several connections);
// uploads that go on in another process.
package registry
