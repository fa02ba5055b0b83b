package cli

import (
	"errors"
	"io"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/compression"
	"ocipipe/lib/magic"
	"ocipipe/lib/tree"
)

// Limits are the flags of limits on what is read, to be embedded. They have the defaults
// of [tree.DefaultLimits]; 0 is no limit.
type Limits struct {
	Entries    int64 `name:"max-entries" default:"20000000" placeholder:"N" group:"Limits on the input" help:"Entries and implied directories."`
	Depth      int64 `name:"max-depth" default:"2048" placeholder:"N" group:"Limits on the input" help:"Components of a path."`
	FileSize   int64 `name:"max-file-size" default:"16T" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Size of one file, with holes."`
	TotalSize  int64 `name:"max-total-size" default:"1T" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Data of all files, without holes."`
	XattrBytes int64 `name:"max-xattr-bytes" default:"256K" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Extended attributes of one entry."`
	TreeMemory int64 `name:"max-tree-memory" default:"1G" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Memory for the tree, without contents."`
}

// Tree returns the limits in the form of the libraries.
func (l Limits) Tree() tree.Limits {
	return tree.Limits{
		Entries: OrNone(l.Entries), Depth: OrNone(l.Depth), FileSize: OrNone(l.FileSize),
		TotalSize: OrNone(l.TotalSize), XattrBytes: OrNone(l.XattrBytes), TreeMemory: OrNone(l.TreeMemory),
	}
}

// OrNone turns 0, which means no limit in a flag, into -1, which means that in a library.
func OrNone(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}

// TreeInput holds the flags of a tool that reads a tree stream with contents, to be
// embedded.
type TreeInput struct {
	RequireCRC bool `name:"require-crc" group:"Content" help:"Refuse a stream without a checksum at its end."`

	Limits
}

// Source reads the tree stream in, within the limits. Its errors do not name in.
func (t TreeInput) Source(in io.Reader) (tree.Source, error) {
	src, err := tree.NewReader(in, tree.ReaderOptions{RequireCRC: t.RequireCRC, NeedData: true})
	if err != nil {
		return nil, err
	}
	return tree.Limit(src, t.Tree()), nil
}

// ImageContent holds the flags that say how an image shows its files, to be embedded.
type ImageContent struct {
	Mtime      *Time `placeholder:"TIME" group:"Content" help:"Time of every file."`
	ClampMtime *Time `placeholder:"TIME" group:"Content" help:"Latest time of a file; later ones become this."`
	KeepZeros  bool  `group:"Content" help:"Keep zeros in files instead of making holes."`
	Check      bool  `group:"Content" help:"Read it back and compare it with the input."`
}

// TreeForm are the flags that say what form a tree stream is written in, to be embedded.
type TreeForm struct {
	NoData   Optional `placeholder:"FORM" group:"Output" help:"Leave contents out; --no-data=portable for bsdtar."`
	Digest   bool     `group:"Output" help:"With --no-data or --list: add the SHA-256 of each file."`
	MaxHoles int64    `name:"max-digest-holes" default:"128G" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Holes that --digest hashes as zeros."`
}

// Options returns the options of a stream that the tool called stage writes. Its error is
// one of [Usage].
func (f TreeForm) Options(stage string) (tree.WriterOptions, error) {
	opts := tree.WriterOptions{Stage: stage, Digest: f.Digest, MaxHoles: OrNone(f.MaxHoles)}
	switch {
	case !f.NoData.Set && f.Digest:
		return opts, Usage("--digest needs --no-data")
	case !f.NoData.Set:
	case f.NoData.Value == "":
		opts.Data = tree.None
	case f.NoData.Value == "portable":
		opts.Data = tree.NonePortable
	default:
		return opts, Usage("--no-data=%s: the forms are --no-data and --no-data=portable", f.NoData.Value)
	}
	return opts, nil
}

// limitFlags are the flags that raise limits.
var limitFlags = map[tree.LimitKind]string{
	tree.LimitEntries:     "--max-entries",
	tree.LimitDepth:       "--max-depth",
	tree.LimitFileSize:    "--max-file-size",
	tree.LimitTotalSize:   "--max-total-size",
	tree.LimitXattrBytes:  "--max-xattr-bytes",
	tree.LimitTreeMemory:  "--max-tree-memory",
	tree.LimitDigestHoles: "--max-digest-holes",
	tree.LimitHoleBytes:   "--max-hole-bytes",
}

// sharedAdvice returns the hint for an error that many tools share, or "".
func sharedAdvice(err error) string {
	var over *tree.LimitError
	var unread *compression.Error
	var foreign *magic.Error
	switch {
	case errors.As(err, &over) && limitFlags[over.Which] != "":
		return limitFlags[over.Which] + " raises the limit"
	case errors.As(err, &unread):
		return unread.Unpacker + " FILE unpacks it"
	case errors.As(err, &foreign):
		return adviseForeign(foreign)
	case atomicfile.IsUnnamed(err):
		return "--tmpdir DIR, or TMPDIR=DIR, names another directory for spool files"
	case errors.Is(err, tree.ErrForeign):
		return "tar2tree makes a tree stream of layers and images, erofs2tree of EROFS images"
	case errors.Is(err, tree.ErrNoContents):
		return "make the stream without --no-data"
	}
	return adviseDirectory(err)
}
