// Package imagecache knows which images a cache (package cas) holds, what each of them
// needs, and what nothing needs. It lists images, removes them, prunes the cache to a size
// or an age, and verifies all files.
//
//	images, err := imagecache.List(ctx, store)
//	...
//	report, err := imagecache.Prune(ctx, store, imagecache.PruneOptions{MaxSize: &limit})
//
// # What holds what
//
// An image is an entry of index.json or refs.json. It holds the blobs of its manifest, of
// the index that it was taken from, of its configuration and, if it is in index.json, of its
// layers. It holds artifacts of any version of the writers whose key is the digest of its
// manifest or the diff-id of one of its layers. It holds a flat image (kind rootfs) whose
// record says that it was made of exactly its layers:
//
//	rootfs/ABI/sha256/KEY.erofs   the flat image, or .ext4
//	rootfs/ABI/sha256/KEY.json    its record: {"digest", "size", "format", "diff_ids"}
//
// A merged image (kind fsmeta) has a record of the same form.
//
// Artifacts that are compressed have a variant, which names the compression and the version of
// the encoder (erofs.Compression.Key); merged images without a table of devices have one too:
//
//	layers/ABI/sha256/KEY-z1-zstd-3-64k.erofs
//	fsmeta/ABI/sha256/KEY-z1-zstd-3-64k-no-table.erofs
//
// The image holds all variants of its artifacts, also those that are not known here.
//
// ABI in these names is the version of the writers; the constant is the present one. Artifacts
// of other versions are held and removed as those of this one, but Verify does not know their
// rules: it compares them with their records and checks the form of the files.
//
// An entry that another program made may name an index. It is one image here, with the
// layers of all platforms that are there.
//
// A file that no image holds and no process uses (cas.Use) may go at any time. A file that
// is neither a blob nor an artifact is never touched.
//
// # Order of removal
//
// The entry goes first, then what it alone held: disks, then the images that they refer to,
// then blobs. A process that is killed in between leaves files that nothing holds, for the
// next Prune.
package imagecache

// ABI is the version of all that makes artifacts (package materialize): reading layers,
// merging them, and the writers of file systems. It goes up when the bytes of any artifact
// change, but for compressed ones: these have erofs.EncoderVersion in their names, too.
const ABI = "3"
