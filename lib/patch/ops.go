package patch

import "ocipipe/lib/tree"

// Op is one operation: a value of one of the types Text, File, CopyFile, CopyDir,
// Symlink, Mkdir, MountPoint, Remove, Append, Chmod, Chown, Link, Xattr, Rename and Touch, or
// one of them that is Placed.
type Op interface {
	name() string // in JSON
	path() string // the one that the operation is about
	check() error // checks what does not depend on a tree
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

// Attr is the owner and mode of a file. Mode is at most 07777; nil is the default for a new
// file, and an existing file keeps its own.
type Attr struct {
	Owner
	Mode *uint16
}

// Text makes a file with the content Content, 0644 by default.
type Text struct {
	Path    string
	Content string
	Replace bool // an existing file, or a directory with everything in it
	Attr
}

// File makes a file like Text. In lists its content is base64, so it can be any bytes.
type File struct {
	Path    string
	Content []byte
	Replace bool
	Attr
}

// CopyFile copies a regular file of the host; Src may be a symbolic link to it. The default
// mode is that of the source.
type CopyFile struct {
	Src     Source
	Dst     string
	Replace bool
	Attr
}

// CopyDir copies a directory of the host and everything in it: directories, regular files
// and symbolic links, with their modes; any other file is an error. Owner is that of all
// copies. With Replace, a source directory may meet an existing one, or a symbolic link to
// one, at Dst or further down: the existing directory keeps its attributes (unless
// [Options.Preserve] is set). Any other file with a name of the source is replaced.
type CopyDir struct {
	Src     Source
	Dst     string
	Replace bool
	Owner
}

// Source is a path on the host. If [Options.Root] is set, Path is relative to that, with or
// without a slash at its beginning. Otherwise Path is absolute, or relative to Dir, or to
// the working directory if Dir is empty.
type Source struct {
	Dir, Path string
}

// Symlink makes Link a symbolic link to Target, which need not exist.
type Symlink struct {
	Target  string
	Link    string
	Replace bool
	Owner
}

// Mkdir makes a directory, 0755 by default. If the directory exists, it takes the
// attributes that are given.
type Mkdir struct {
	Path string
	Attr
}

// MountPoint makes a directory, 0755 by default, if Path does not exist. An existing file
// of any type stays as it is. Lists cannot express this operation.
type MountPoint struct {
	Path string
	Attr
}

// Skeleton returns operations that make the mount points that the init of a virtual machine
// needs.
func Skeleton() []Op {
	dir := func(path string, mode uint16) Op { return MountPoint{path, Attr{Mode: &mode}} }
	return []Op{dir("/dev", 0o755), dir("/proc", 0o555), dir("/run", 0o755), dir("/sys", 0o555), dir("/tmp", 0o1777)}
}

// Remove removes the file at Path, or a directory with everything in it. It does nothing if
// Path does not exist.
type Remove struct {
	Path string
}

// Append appends Content to a regular file; Path may be a symbolic link to it. If Content is
// empty, the file is not written to.
type Append struct {
	Path    string
	Content string
	Attr
}

// Chmod sets the mode of a file, which must not be a symbolic link.
type Chmod struct {
	Path string
	Mode uint16
	Owner
}

// Chown sets the owner, the group, or both. It does not follow a symbolic link.
type Chown struct {
	Path string
	Attr
}

// Link makes Link another name of the file Target, which must not be a directory. It does
// not follow Target if that is a symbolic link. It does nothing if both are the same name.
type Link struct {
	Target  string
	Link    string
	Replace bool
	Attr
}

// Xattr sets the extended attribute Name to Value, or removes it. Removing an attribute that
// does not exist does nothing. An access control list has the form of setxattr(2), and sets
// the mode, too.
type Xattr struct {
	Path   string
	Name   string // with its prefix, such as "user.origin"
	Value  string // any bytes
	Remove bool
	Attr
}

// Rename moves Src, and everything in it, to Dst. It does nothing if both are the same.
type Rename struct {
	Src     string
	Dst     string
	Replace bool
	Attr
}

// Touch sets the time of Path. It does not follow a symbolic link. If Path does not exist, it
// makes an empty file, 0644 by default.
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
