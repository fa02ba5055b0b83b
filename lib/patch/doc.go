// Package patch changes a tree of files without unpacking it: a list of operations
// ([Op]) is applied to a merged tree in memory, and the result is read as the
// difference, a layer to put above the tree, or as the whole patched tree.
//
// It reads lists of operations from JSON and YAML ([Decode]), and knows no images:
// the caller merges those that lie below ([tree.Tree]), as package lower does, and gives
// the result to any sink. Contents are references: nothing of a file that is not changed is read, and a
// file that is appended to is read when it is written.
//
// # Paths
//
// A path of an operation is absolute. Slashes that are too many are dropped; a
// component ".", ".." or of more than 255 bytes and a NUL are refused. "/" alone is
// for Chmod, Chown, Xattr, Touch and CopyDir.
//
// The parents of a path are resolved in the patched tree as far as it has been patched,
// as the kernel would with that as its root: a symbolic link among them is followed, and
// neither an absolute target nor ".." leaves the root. More than 40 links, a link that
// leads nowhere, and a parent that is not a directory are errors. The last component is
// not followed, but by Append, and by CopyDir where a link leads to a directory.
//
// # What operations do
//
// They are applied strictly in order, and all of them before Apply returns: an error
// means that there is no result.
//
//   - Directories that are missing on the way to a new name are made, 0755 of root.
//   - A new file inherits nothing, neither from what it replaces nor from its directory:
//     it is 0644 of root unless the operation says otherwise. Its time, and that of
//     directories that are made, is [Options.Mtime], else [Options.Epoch], else 0.
//   - What exists is replaced only if the operation says so, a directory with all that
//     it holds. What the list itself has removed does not exist.
//   - A directory keeps its time when the names in it change.
//   - Append is a write: the file keeps mode, owner and attributes, but loses
//     security.capability (unless [Options.KeepCaps]), and takes the time of a new file.
//   - Chown clears the set-user-ID bit, the set-group-ID bit of a file that its group may
//     execute, and security.capability, as the kernel does, but for directories. A mode
//     beside it is set afterwards.
//   - Chmod changes an access control list as the kernel does: the bits of the group are
//     those of its mask, if it has one.
//   - Chmod, Chown, Xattr and Link keep the time; Rename keeps everything.
//   - UID, GID and Mode of an operation that changes what exists are a Chown and a Chmod
//     behind it. A symbolic link has no mode.
//
// # Hard links
//
// A name that is changed is separated from other names that its file has in the tree
// below, as overlayfs does when it copies a file up: those stay as they were. The same
// goes for a name that is moved, but names that are moved with one directory stay
// together. Names that Link makes share a file with their target, and what changes one
// changes all.
//
// # The difference
//
// It has what changed, and every directory above that, with the attributes that it has
// in the tree below; the root always. A whiteout stands only where something lies below,
// and a directory that is new where something lies below is opaque. So overlayfs and
// [tree.Tree.Apply] make the same of it. A file that is changed, in whatever way, is
// there with its whole content, and so is all that is moved.
package patch
