// Package push uploads images to registries: one manifest, or an index with everything below
// it, as [oci.OpenBundle] opens them.
//
//	b, err := oci.OpenBundle(ctx, "oci:DIR:TAG", oci.Options{})
//	...
//	defer b.Close()
//	result, err := push.Push(ctx, b, "registry.example.com/me/app:v2", push.Options{})
//
// Manifests keep their bytes and so their digests. Blobs come first, then manifests by their
// digests, those that an index lists before the index, and tags last: a push that ends early
// has changed no tag, and one that ends between two tags leaves complete ones. What the
// registry has is not uploaded again. A blob that another repository of the same registry may
// have is taken over from there if the registry allows it: the repositories in
// Options.MountFrom, those of the images that annotations or labels of the image name as its
// base, and that of the name which a layout gives it. The image must have the blob all the
// same: it is read and verified before.
//
// Package registry speaks to the registry: how blobs are sent in chunks, and what happens
// after failures, is said there. Mirrors are never written to.
//
// Layers that are not distributed with their image (of a media type for that, with URLs) stay
// where they are, unless Options.AllowForeign says otherwise.
//
// Not supported: the tags by which old registries list what refers to an image (the referrers
// tag schema); signing.
package push
