// Package patch changes a tree of files without unpacking it. It applies a list of
// operations ([Op]) to a merged tree in memory, the lower tree. The result can be read as
// the difference, which is a layer to put above the lower tree, or as the whole patched
// tree.
//
// It reads lists of operations from JSON and YAML ([Decode]), and knows no images:
// the caller merges those that lie below ([tree.Tree]), as package lower does, and gives the
// result to any sink. Contents are references: nothing of a file that is not changed is
// read, and a file that is appended to is read when it is written.
//
// # Paths
//
// A path of an operation is absolute. Superfluous slashes are dropped. Components that are
// "." or ".." or have more than 255 bytes are refused, and so are NULs. Only Chmod, Chown,
// Xattr, Touch and CopyDir accept "/".
//
// The parents of a path are resolved in the tree as the operations before have left it, as
// the kernel would with that as its root: symbolic links among the parents are followed,
// and neither an absolute target nor ".." leaves the root. More than 40 links, a link that
// leads nowhere, and a parent that is not a directory are errors. A link in the last
// component is followed only by Append, and by CopyDir if it leads to a directory.
//
// # What operations do
//
// Apply applies the operations strictly in order, and all of them before it returns. If one
// fails, Apply returns no result.
//
//   - Missing directories on the way to a new name are made, 0755 of root.
//   - A new file inherits nothing, neither from a file that it replaces nor from its
//     directory: it is 0644 of root unless the operation says otherwise. Its time, and
//     that of directories that are made, is [Options.Mtime], else [Options.Epoch], else 0.
//   - An existing file is replaced only if the operation says so; a directory is replaced
//     with everything in it. A file that an earlier operation has removed does not exist.
//   - A directory keeps its time when the names in it change.
//   - Append is a write: the file keeps mode, owner and attributes, but loses
//     security.capability (unless [Options.KeepCaps]), and takes the time of a new file.
//   - Chown clears the set-user-ID bit, the set-group-ID bit of a file that its group may
//     execute, and security.capability, as the kernel does, except on directories. If the
//     operation has a mode, too, it is set afterwards.
//   - Chmod changes an access control list as the kernel does: the bits of the group are
//     those of the mask, if the list has one.
//   - Chmod, Chown, Xattr and Link keep the time; Rename keeps everything.
//   - UID, GID and Mode of an operation on an existing file act as a Chown and a Chmod after
//     it. A symbolic link has no mode.
//
// # Hard links
//
// When a name is changed, it is separated from the other names that its file has in the
// lower tree, as overlayfs does when it copies a file up: these stay as they were. The same
// holds for a name that is moved, but names that are moved with one directory stay
// together. Names that Link makes share a file with their target: what changes one of them
// changes all.
//
// # The difference
//
// The difference has all files that changed, and the directories above them with the
// attributes of the lower tree; always the root. It has a whiteout only where the lower tree
// has a file. A new directory in the place of a lower file is opaque. So overlayfs and
// [tree.Tree.Apply] produce the same tree from it. A file that is changed in any way, or
// moved, is in the difference with its whole content.
package patch
