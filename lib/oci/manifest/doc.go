// Package manifest parses the JSON documents of an image: indexes, manifests and
// configurations, in the OCI form and in Docker's, with the descriptors that lead from one
// to the next. It refuses a document that could be taken for two things at once, and tells
// images from the other things that registries and builders keep beside them.
//
// The caller verifies a document before the package parses it. Nothing here reads a file
// or a network.
package manifest
