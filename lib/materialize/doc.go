// Package materialize makes all that a virtual machine needs of an image: an EROFS image of
// each layer, one of metadata alone that merges them, a VMDK descriptor that makes one disk
// of these, and, if asked, one flat image of the whole tree and an upper disk for an overlay.
// The bytes are those that the filters make one after the other.
//
//	store, err := cas.Open(ctx, dir, cas.Options{})
//	...
//	r, err := materialize.Materialize(ctx, materialize.Options{
//		Ref:  "docker.io/library/alpine",
//		Pull: pull.Options{Cache: store},
//	})
//	...
//	start(r.VMDK.Path, r.Process)
//
// Everything lies in the cache, under what it is made of: the image of a layer under its
// diff-id, so that images share it whatever their compression; metadata and descriptor under
// the digest of the manifest; a flat image under a digest over its layers and options. What is
// compressed has a name of its own, with the version of the encoder, and lies beside what is
// not. A part that the cache has is not made again. Layers are fetched, verified, unpacked and
// converted at the same time, several of them, each while it still arrives. A flat image is
// made from the images of layers.
//
// An artifact appears in the cache when it is complete and durable. Its maker holds a lock;
// others that want the same artifact wait, and find it. A process that dies leaves no lock,
// and no file either if the file system has files without names (O_TMPFILE). Otherwise it
// leaves a temporary file, which the next process replaces.
//
// What the cache has is believed if its size is what its superblock or record says.
// Options.Verify compares content: the UUID of an EROFS image derives from all of it, and a
// record has the digest of a flat image. What is damaged is named in a warning and built
// again.
//
// # Limits
//
// The upper disk is a regular file outside the cache. A descriptor names the extents relative
// to itself, so the cache can be moved as a whole, but not the descriptor alone. The layers of
// an image in a file are kept only under a name (pull.Options.As).
package materialize
