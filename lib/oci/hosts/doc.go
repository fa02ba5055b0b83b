// Package hosts is what this machine and its user have set for registries: where images
// are, which authorities are trusted there, and which client certificates are shown.
//
// Of registries.conf (containers-registries.conf(5), version 2) it reads prefix,
// location, insecure, blocked, mirror, mirror-by-digest-only and pull-from-mirror. A
// prefix is matched as that page has it: "example.com" is not example.com:5000, and
// "*.example.com" is any host below, without a port. The table with the longest prefix
// counts, of the same prefix that in the last file. Mirrors are chosen by the reference:
// a mirror that is for digests only is not asked for an image by tag.
//
// Short names are Docker Hub's, whatever aliases and unqualified-search-registries say;
// where these say something else there is a warning. All other keys are ignored.
//
// Of certs.d (containers-certs.d(5)) the first directory that has one for a host counts.
// What lies there is for that HOST or HOST:PORT alone. Authorities (*.crt) are trusted
// besides the system's however the host was reached. Client certificates (NAME.cert and
// NAME.key) are an identity, and go where credentials go: to registries, to mirrors, and
// to the token servers that these name, not to where a redirect leads. One given
// explicitly is for the host in the image's name, and then that of certs.d is not used.
package hosts
