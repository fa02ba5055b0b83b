// Package manifest is the JSON documents that an image consists of: indexes, manifests
// and configurations, in the OCI form and in Docker's, and the descriptors that lead
// from one to the next. It parses them, refuses what could be taken for two things at
// once, and tells images from what registries and builders keep beside them.
//
// Its caller has verified what it parses. Nothing here reads a file or a network.
package manifest
