// Package commit makes a new image of a base image and layers that go on it, or of layers
// alone, with a changed configuration.
//
//	added, err := commit.Take(ctx, file, commit.TakeOptions{})
//	...
//	img, err := commit.Build(ctx, base, []*commit.Layer{added}, commit.Options{})
//	...
//	err = oci.WriteArchive(ctx, w, img)
//
// [Take] reads a layer once: it hashes it, compressed and not, and checks that it is a tar
// that the tools can read. The layer waits in a spool file. Blobs of the base are passed on
// byte for byte, and verified when the new image is written.
//
// The configuration is the JSON of the base with some values replaced. Members that this
// package does not know stay as they are, in their order, since a configuration that went
// through the types of a library would lose them. Members that differ only in case would
// mean different things to different programs: they are an error.
//
// The manifest takes the form of the base, OCI or Docker schema 2. Docker's form has no
// type for zstd: with such a layer the manifest becomes one of OCI, with a warning. The
// annotations of the base's manifest are kept, as crane mutate does; its other members
// (subject, artifactType) belong to the base alone.
//
// The same input gives the same bytes: times are an option, and nothing else of the host
// gets into the image.
package commit
