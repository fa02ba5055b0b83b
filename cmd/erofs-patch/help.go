package main

import "ocipipe/lib/cli"

// manual is what --help and the man page say.
var manual = cli.Manual{
	Name:    "erofs-patch",
	Summary: "Change files of an image without unpacking it.",
	Description: `It applies operations to what the images of --lower are together, and writes the difference as a tree stream: for mkext4upper --tree, which makes an upper disk for overlayfs over the images, or for tree2erofs --layer, which makes one more layer. With --full the whole changed tree is written.

The operations come from files, and then from flags, in the order in which they stand there. All of them are applied before anything is written: if one fails nothing comes out. A file is a list, in JSON or YAML, or an object with the list as "patches" and perhaps "patch_files", a list of files whose operations come first. Each operation is an object with one key:

    {"text":      {"path", "content"}}           a file that holds a text
    {"file":      {"path", "content_base64"}}    a file from any bytes
    {"append":    {"path", "content"}}           more behind the end of a file
    {"copy_file": {"src", "dst"}}                a file of this machine
    {"copy_dir":  {"src", "dst"}}                a directory of this machine
    {"mkdir":     {"path"}}                      a directory
    {"symlink":   {"target", "link"}}            a symbolic link
    {"link":      {"target", "link"}}            one more name of a file
    {"rename":    {"src", "dst"}}                another place
    {"remove":    {"path"}}                      nothing
    {"chmod":     {"path", "mode"}}              permissions
    {"chown":     {"path", "uid", "gid"}}        an owner, a group or both
    {"xattr":     {"path", "name", "value"}}     an extended attribute; or
                                                 "value_base64", "remove": true
    {"touch":     {"path", "time"}}              the time

What makes a name takes "replace": true, without which it is an error that the path exists. All but remove take "uid" and "gid", and all but that, copy_dir and symlink "mode", four octal digits in quotes. mkdir takes a directory that exists, and remove that there is nothing.

A path begins with a slash. Symbolic links among its parents are followed as by a machine that has the tree as its root; the last component is followed by append alone. Missing parents are made, 0755 of root.

A new file is 0644 of root. A file that is appended to keeps its mode, owner and extended attributes, but for security.capability, which a write drops. A hard link that is changed is parted from its other names below, as overlayfs does it; names that link makes stay together. A directory that is in the difference because of what is in it is there as it was.

Sources of copies are relative to the directory of the file of operations. In a directory that is copied symbolic links are copied as such; devices, pipes and sockets are an error.`,
	Arguments: "In flags \\: is a colon, \\= an equals sign and \\\\ a backslash in a path. MODE is four octal digits behind the last colon, and anything else there is an error.",
	Flags: map[string]string{
		"lower":       "It is an image of tree2erofs or mkfs.erofs, whole or a layer; an ext4 image; or a tree stream, whose contents wait in a spool file. Several are applied to each other, with their whiteouts. Of a compressed image the contents cannot be copied.",
		"device":      "It is for an image of metadata alone, such as tree2erofs --fsmeta makes: give it once for each layer, from bottom to top, after the --lower that it is for.",
		"text":        "TEXT is taken as it is, without an end of line of its own.",
		"append":      "TEXT goes to the end of a file that exists, with an end of line if it has none. The last component of PATH may be a symbolic link. With MODE the file gets that.",
		"copy-file":   "SRC is followed if it is a symbolic link. Without MODE the file has that of SRC.",
		"copy-dir":    "Directories, files and links have the modes that they have in SRC. With --replace it goes into a directory that exists.",
		"mkdir":       "Without MODE a new one is 0755, and one that exists stays as it is.",
		"link":        "It is a hard link. TARGET may be anything but a directory.",
		"chmod":       "A symbolic link has no mode of its own.",
		"chown":       "The ids are numbers. As with chown(2), a file loses its set-user-ID bit and its capabilities; --chmod after it sets what it is to have.",
		"xattr":       "VALUE is text, or bytes in hex after 0x or in base64 after 0s, as getfattr prints them.",
		"touch":       "TIME has the form that --mtime takes. Without it the time is that of a new file.",
		"replace":     "It is for --text, --file, --copy-file, --copy-dir, --symlink, --link and --rename. Operations in files have their own.",
		"vm-skeleton": "They are made after all other operations: proc and sys 0555, dev and run 0755, tmp 1777. What exists stays as it is.",
		"keep-caps":   "Without this flag security.capability is dropped where a file is written to or gets another owner, as the kernel does.",
		"root":        "All sources, of files and flags, are relative to DIR, and no symbolic link leads out of it.",
		"follow":      "Without this flag they are copied as links. A link that leads out of the directory, nowhere, or to a directory that holds it is an error.",
		"preserve":    "Without this flag copies belong to root and have the time of new files. Hard links are kept too.",
		"dry-run":     "A line is PATH [OLD] -> [NEW]: the words that a tree stream has for what was there and for what would be there, without contents; nothing stands for nothing.",
		"mtime":       "Without this flag it is SOURCE_DATE_EPOCH, or else 0. TIME is a number of seconds since 1970, with up to nine decimals, or a date in the form of RFC 3339, such as 2024-01-31T12:00:00Z.",
		"max-entries": "Counted is what all inputs have. 0 is no limit, here and for the other limits.",
	},
	Examples: []cli.Example{
		{Text: "An upper disk with the changes of a list", Command: "erofs-patch --lower rootfs.erofs patches.json |\n    mkext4upper --tree - --size 1G -o upper.ext4"},
		{Text: "What flags would change, and the changed image", Command: "erofs-patch --lower rootfs.erofs --text /etc/motd='hi' --replace --dry-run\nerofs-patch --lower rootfs.erofs --mkdir /data:0750 --full |\n    tree2erofs -o patched.erofs"},
		{Text: "A stream", Command: "oci-fetch alpine | tar2tree | erofs-patch --lower - --vm-skeleton --full |\n    tree2ext4 -o root.ext4"},
	},
	SeeAlso: []string{"erofs2tree", "tree2erofs", "mkext4upper", "tree2ext4", "setfattr(1)"},
}
