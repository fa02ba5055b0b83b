// Package hosts reads the settings for registries of this machine and its user: where
// images are, which authorities to trust there, and which client certificates to show.
//
// From registries.conf (containers-registries.conf(5), version 2) it reads prefix,
// location, insecure, blocked, mirror, mirror-by-digest-only and pull-from-mirror. A
// prefix is matched as that page says: "example.com" does not match example.com:5000, and
// "*.example.com" matches any host below, without a port. The table with the longest prefix
// counts; if several tables have it, the one in the last file counts. The reference decides
// about mirrors: a mirror for digests only is not asked for an image by tag.
//
// Short names mean Docker Hub. If aliases or unqualified-search-registries say something
// else, the package warns. It ignores all other keys.
//
// If several directories certs.d (containers-certs.d(5)) have a directory for a host, the
// first counts. Its files are for that HOST or HOST:PORT alone. Authorities (*.crt) are
// trusted besides the system's, however the host was reached. Client certificates
// (NAME.cert and NAME.key) are an identity, and go where credentials go: to registries, to
// mirrors, and to the token servers that these name, but not where a redirect leads. A
// client certificate in Options is for the host in the image's name, and replaces the one
// in certs.d.
package hosts
