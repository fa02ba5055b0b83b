package erofspatch

import "ocipipe/lib/cli"

// manual is what --help and the man page say.
var manual = cli.Manual{
	Name:    "erofs-patch",
	Summary: "Change files of an image without unpacking it.",
	Description: `erofs-patch merges the images of --lower, applies operations to the merged tree, and writes the difference as a tree stream. mkext4upper --tree makes an upper disk for overlayfs of it, and tree2erofs --layer one more layer. With --full the output is the whole changed tree.

Operations come from the files first, and then from the flags, each in their order. All of them are applied before anything is written: if one fails, there is no output. A file holds a list of operations, in JSON or YAML, or an object with the list as "patches" and optionally "patch_files", a list of files whose operations come first. Each operation is an object with one key:

    {"text":      {"path", "content"}}           make a file from text
    {"file":      {"path", "content_base64"}}    make a file from any bytes
    {"append":    {"path", "content"}}           append to a file
    {"copy_file": {"src", "dst"}}                copy a file of this machine
    {"copy_dir":  {"src", "dst"}}                copy a directory of this machine
    {"mkdir":     {"path"}}                      make a directory
    {"symlink":   {"target", "link"}}            make a symbolic link
    {"link":      {"target", "link"}}            make a hard link
    {"rename":    {"src", "dst"}}                move a file or directory
    {"remove":    {"path"}}                      remove a file or directory
    {"chmod":     {"path", "mode"}}              set permissions
    {"chown":     {"path", "uid", "gid"}}        set the owner, the group or both
    {"xattr":     {"path", "name", "value"}}     set an extended attribute; or
                                                 "value_base64", "remove": true
    {"touch":     {"path", "time"}}              set the time

Operations that make a name fail if the path exists, unless they have "replace": true. All operations except remove take "uid" and "gid". All except remove, copy_dir and symlink take "mode", four octal digits in quotes. mkdir accepts an existing directory, and remove accepts a path that does not exist.

Paths begin with a slash. Symbolic links among the parents of a path are followed as on a machine that has the tree as its root. Only append follows a link in the last component. Missing parents are made, with mode 0755 and owner root.

A new file has mode 0644 and owner root. A file that is appended to keeps its mode, owner and extended attributes, except for security.capability, which a write drops. A change to one name of a hard link separates that name from the other names in the lower images, as in overlayfs; names made by link stay together. Directories that are in the difference only because of their content keep their attributes.

Sources of copies are relative to the directory of the file that has the operation. Symbolic links in a copied directory are copied as links, unless --follow is given. Devices, pipes and sockets are an error.`,
	Arguments: "In flags \\: is a colon, \\= an equals sign and \\\\ a backslash in a path. MODE is four octal digits after the last colon; anything else there is an error.",
	Flags: map[string]string{
		"lower":       "IMAGE is an EROFS image of tree2erofs or mkfs.erofs, flat or a layer; an ext4 image; or a tree stream, whose contents wait in a spool file. Several images are merged, with their whiteouts. An EROFS image may be compressed, but not by LZMA.",
		"device":      "An image of metadata alone, such as tree2erofs --fsmeta makes, needs its layers: give the flag once for each layer, from bottom to top, after the --lower that it belongs to.",
		"text":        "TEXT is written as it is; no end of line is added.",
		"append":      "TEXT is added to the end of an existing file, with an end of line if it lacks one. The last component of PATH may be a symbolic link. MODE changes the mode of the file.",
		"copy-file":   "If SRC is a symbolic link, it is followed. Without MODE the file has the mode of SRC.",
		"copy-dir":    "The copies keep their modes. With --replace, the content of SRC is added to an existing directory.",
		"mkdir":       "Without MODE a new directory has the mode 0755, and an existing one stays as it is.",
		"link":        "It is a hard link. TARGET may be anything but a directory.",
		"chmod":       "A symbolic link has no mode of its own.",
		"chown":       "The ids are numbers. As with chown(2), a file loses its set-user-ID bit and its capabilities; a --chmod that follows can set the bit again.",
		"xattr":       "VALUE is text, or bytes in hex after 0x or in base64 after 0s, as getfattr prints them.",
		"touch":       "TIME has the form that --mtime takes. Without it the time is that of a new file.",
		"replace":     "It applies to --text, --file, --copy-file, --copy-dir, --symlink, --link and --rename. Operations in files have their own \"replace\".",
		"vm-skeleton": "The directories are made after all other operations: proc and sys 0555, dev and run 0755, tmp 1777. What exists stays as it is.",
		"keep-caps":   "Without this flag security.capability is dropped if a file is written to or gets another owner, as the kernel does.",
		"root":        "All sources, in files and flags, are relative to DIR, and no symbolic link leads out of it.",
		"follow":      "Without this flag they are copied as links. A link that leads out of the directory, nowhere, or to a directory that holds it is an error.",
		"preserve":    "Without this flag copies belong to root and have the time of new files. Hard links are kept too. Outside Linux no extended attributes are copied, and on Windows neither owners nor permissions: files are made with the permissions 0755 there.",
		"dry-run":     "Each line is PATH [OLD] -> [NEW]. OLD and NEW are the keywords that a tree stream has for the file before and after, without contents; they are left out where there is no file.",
		"mtime":       "Without this flag it is SOURCE_DATE_EPOCH, or else 0. TIME is a number of seconds since 1970, with up to nine decimals, or a date in the form of RFC 3339, such as 2024-01-31T12:00:00Z.",
		"max-entries": "All inputs count together. 0 is no limit, here and for the other limits.",
	},
	Examples: []cli.Example{
		{Text: "An upper disk with the changes of a list", Command: "erofs-patch --lower rootfs.erofs patches.json |\n    mkext4upper --tree - --size 1G -o upper.ext4"},
		{Text: "What flags would change, and the changed image", Command: "erofs-patch --lower rootfs.erofs --text /etc/motd='hi' --replace --dry-run\nerofs-patch --lower rootfs.erofs --mkdir /data:0750 --full |\n    tree2erofs -o patched.erofs"},
		{Text: "A stream", Command: "oci-fetch alpine | tar2tree | erofs-patch --lower - --vm-skeleton --full |\n    tree2ext4 -o root.ext4"},
	},
	SeeAlso: []string{"erofs2tree", "tree2erofs", "mkext4upper", "tree2ext4", "setfattr(1)"},
}
