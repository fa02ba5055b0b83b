package patch

import "ocipipe/lib/tree"

// Op is one operation: a value of one of the types Text, File, CopyFile, CopyDir,
// Symlink, Mkdir, MountPoint, Remove, Append, Chmod, Chown, Link, Xattr, Rename and Touch, or
// one of them that is Placed.
type Op interface {
	name() string // in JSON
	path() string // that the operation is about
	check() error // what can be said without a tree
	apply(*applier) error
}

// Placed is an operation and where it stands in a file. Errors about it say so.
type Placed struct {
	Op
	File         string
	Line, Column int // see FileError
	Index        int // of the operation in its list, from 1
}

// Owner says who owns a file. nil is root for what is new; what exists keeps its own.
type Owner struct {
	UID, GID *uint32
}

// Attr says what else a file gets. Mode, at most 07777, is nil for the default of what
// is new; what exists keeps its own.
type Attr struct {
	Owner
	Mode *uint16
}

// Text makes a file that holds Content, 0644 by default.
type Text struct {
	Path    string
	Content string
	Replace bool // what exists, a directory with all that it holds
	Attr
}

// File makes a file like Text, from any bytes.
type File struct {
	Path    string
	Content []byte
	Replace bool
	Attr
}

// CopyFile makes a file of a regular one of the host, which may be named by a symbolic
// link. It has the mode of that by default.
type CopyFile struct {
	Src     Source
	Dst     string
	Replace bool
	Attr
}

// CopyDir copies a directory of the host and what it holds: directories, files and
// symbolic links with their modes; anything else is an error. The owner is that of all
// that is made. With Replace it goes into a directory that exists, also through a
// symbolic link that leads to one, here and further down: that keeps its attributes
// (unless they are preserved), and what else has a name of the source is replaced.
type CopyDir struct {
	Src     Source
	Dst     string
	Replace bool
	Owner
}

// Source is a path on the host. It lies below [Options.Root] if there is one, whether it
// begins with a slash or not. Else, unless it is absolute, it is relative to Dir, or to
// the working directory if that is empty.
type Source struct {
	Dir, Path string
}

// Symlink makes Link a symbolic link to Target, which may be anything.
type Symlink struct {
	Target  string
	Link    string
	Replace bool
	Owner
}

// Mkdir makes a directory, 0755 by default. One that exists is as good, and takes the
// attributes that are given.
type Mkdir struct {
	Path string
	Attr
}

// MountPoint makes a directory, 0755 by default, where there is nothing at all. What
// exists stays as it is, whatever it is. Lists have no spelling for it.
type MountPoint struct {
	Path string
	Attr
}

// Skeleton are the mount points that the init of a virtual machine needs.
func Skeleton() []Op {
	dir := func(path string, mode uint16) Op { return MountPoint{path, Attr{Mode: &mode}} }
	return []Op{dir("/dev", 0o755), dir("/proc", 0o555), dir("/run", 0o755), dir("/sys", 0o555), dir("/tmp", 0o1777)}
}

// Remove removes what Path names, a directory with all that it holds. If there is
// nothing, nothing happens.
type Remove struct {
	Path string
}

// Append writes Content to the end of a regular file, which may be named by a symbolic
// link. Where Content is empty nothing is written.
type Append struct {
	Path    string
	Content string
	Attr
}

// Chmod sets the mode of anything but a symbolic link.
type Chmod struct {
	Path string
	Mode uint16
	Owner
}

// Chown sets the owner, the group, or both: of a symbolic link those of the link.
type Chown struct {
	Path string
	Attr
}

// Link makes Link one more name of the file Target, which is not a directory. A symbolic
// link is a file itself. Where both are the same name nothing happens.
type Link struct {
	Target  string
	Link    string
	Replace bool
	Attr
}

// Xattr sets the extended attribute Name to Value, or removes it; if there is none,
// nothing happens. An access control list has the form of setxattr(2), and sets the mode.
type Xattr struct {
	Path   string
	Name   string // in full, as "user.origin"
	Value  string // any bytes
	Remove bool
	Attr
}

// Rename moves Src with all that it holds to Dst. Where both are the same nothing
// happens.
type Rename struct {
	Src     string
	Dst     string
	Replace bool
	Attr
}

// Touch sets the time of Path: of a symbolic link that of the link. What is missing
// becomes an empty file, 0644 by default.
type Touch struct {
	Path string
	Time *tree.Time // nil: that of a new file
	Attr
}

func (o Text) name() string       { return "text" }
func (o File) name() string       { return "file" }
func (o CopyFile) name() string   { return "copy_file" }
func (o CopyDir) name() string    { return "copy_dir" }
func (o Symlink) name() string    { return "symlink" }
func (o Mkdir) name() string      { return "mkdir" }
func (o MountPoint) name() string { return "mkdir" }
func (o Remove) name() string     { return "remove" }
func (o Append) name() string     { return "append" }
func (o Chmod) name() string      { return "chmod" }
func (o Chown) name() string      { return "chown" }
func (o Link) name() string       { return "link" }
func (o Xattr) name() string      { return "xattr" }
func (o Rename) name() string     { return "rename" }
func (o Touch) name() string      { return "touch" }

func (o Text) path() string       { return o.Path }
func (o File) path() string       { return o.Path }
func (o CopyFile) path() string   { return o.Dst }
func (o CopyDir) path() string    { return o.Dst }
func (o Symlink) path() string    { return o.Link }
func (o Mkdir) path() string      { return o.Path }
func (o MountPoint) path() string { return o.Path }
func (o Remove) path() string     { return o.Path }
func (o Append) path() string     { return o.Path }
func (o Chmod) path() string      { return o.Path }
func (o Chown) path() string      { return o.Path }
func (o Link) path() string       { return o.Link }
func (o Xattr) path() string      { return o.Path }
func (o Rename) path() string     { return o.Src }
func (o Touch) path() string      { return o.Path }
