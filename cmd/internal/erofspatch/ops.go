package erofspatch

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"ocipipe/lib/cli"
	"ocipipe/lib/osfile"
	"ocipipe/lib/patch"
	"ocipipe/lib/tree"
)

// operations holds the flags that are operations.
type operations struct {
	Text        cli.Ordered `placeholder:"PATH[:MODE]=TEXT" group:"Operations, in order" help:"Make a file with TEXT in it."`
	File        cli.Ordered `placeholder:"PATH[:MODE]=BASE64" group:"Operations, in order" help:"Make a file from bytes in base64."`
	Append      cli.Ordered `placeholder:"PATH[:MODE]=TEXT" group:"Operations, in order" help:"Add lines; other hard links stay as they are."`
	CopyFile    cli.Ordered `placeholder:"SRC:DST[:MODE]" group:"Operations, in order" help:"Copy the file SRC of this machine."`
	CopyDir     cli.Ordered `placeholder:"SRC:DST" group:"Operations, in order" help:"Copy the directory SRC of this machine."`
	Mkdir       cli.Ordered `placeholder:"PATH[:MODE]" group:"Operations, in order" help:"Make a directory, or set its MODE."`
	Symlink     cli.Ordered `placeholder:"TARGET:LINK" group:"Operations, in order" help:"Make LINK a symbolic link."`
	Link        cli.Ordered `placeholder:"TARGET:LINK" group:"Operations, in order" help:"Make LINK a name of the file TARGET."`
	Rename      cli.Ordered `placeholder:"SRC:DST" group:"Operations, in order" help:"Move SRC to DST."`
	Remove      cli.Ordered `placeholder:"PATH" group:"Operations, in order" help:"Remove a file, or a directory and its content."`
	Chmod       cli.Ordered `placeholder:"PATH:MODE" group:"Operations, in order" help:"Set the mode, such as /data:0750."`
	Chown       cli.Ordered `placeholder:"PATH=UID[:GID]" group:"Operations, in order" help:"Set the owner; =:GID is the group alone."`
	Xattr       cli.Ordered `placeholder:"PATH=NAME=VALUE" group:"Operations, in order" help:"Set an extended attribute."`
	RemoveXattr cli.Ordered `placeholder:"PATH=NAME" group:"Operations, in order" help:"Remove an extended attribute."`
	Touch       cli.Ordered `placeholder:"PATH[:MODE][=TIME]" group:"Operations, in order" help:"Set the time; make an empty file if absent."`
}

// flagOp is an operation that a flag has given.
type flagOp struct {
	patch.Op
	flag string
}

// flagError is an error about an operation that a flag has given.
type flagError struct {
	flag string
	err  *patch.OpError
}

func (e *flagError) Error() string {
	return strings.TrimRight("--"+e.flag+" "+e.err.Path, " ") + ": " + e.err.Err.Error()
}

func (e *flagError) Unwrap() error { return e.err }

// asFlag returns err as a flagError, if it is about the operation of a flag.
func asFlag(err error, ops []patch.Op) error {
	var failed *patch.OpError
	if errors.As(err, new(*patch.FileError)) || !errors.As(err, &failed) {
		return err
	}
	if op, ok := ops[failed.Index-1].(flagOp); ok {
		return &flagError{op.flag, failed}
	}
	return err
}

// fromFlags are the operations that flags have given, in their order.
func (t *tool) fromFlags() (list []flagOp, err error) {
	o := &t.operations
	for _, f := range cli.InOrder(o.Text, o.File, o.Append, o.CopyFile, o.CopyDir, o.Mkdir, o.Symlink, o.Link,
		o.Rename, o.Remove, o.Chmod, o.Chown, o.Xattr, o.RemoveXattr, o.Touch) {
		op, err := parsers[f.Flag](f.Value, t.Replace)
		if err != nil {
			return nil, cli.Usage("--%s %s: %v", f.Flag, f.Value, err)
		}
		if err := patch.Check([]patch.Op{op}); err != nil {
			return nil, cli.Usage("%v", asFlag(err, []patch.Op{flagOp{op, f.Flag}}))
		}
		list = append(list, flagOp{op, f.Flag})
	}
	return list, nil
}

// parsers make operations of the values of flags.
var parsers = map[string]func(value string, replace bool) (patch.Op, error){
	"text": func(value string, replace bool) (patch.Op, error) {
		path, text, attr, err := assignment(value)
		return patch.Text{Path: path, Content: text, Replace: replace, Attr: attr}, err
	},
	"file": func(value string, replace bool) (patch.Op, error) {
		path, text, attr, err := assignment(value)
		if err != nil {
			return nil, err
		}
		content, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			err = errors.New("the content is not base64")
		}
		return patch.File{Path: path, Content: content, Replace: replace, Attr: attr}, err
	},
	"append": func(value string, _ bool) (patch.Op, error) {
		path, text, attr, err := assignment(value)
		if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return patch.Append{Path: path, Content: text, Attr: attr}, err
	},
	"copy-file": func(value string, replace bool) (patch.Op, error) {
		src, dst, found := cutBehind(value, osfile.Volume(value), ':')
		if !found {
			return nil, errors.New("no colon between the two paths")
		}
		dst, attr, err := pathMode(dst)
		return patch.CopyFile{Src: patch.Source{Path: src}, Dst: dst, Replace: replace, Attr: attr}, err
	},
	"copy-dir": func(value string, replace bool) (patch.Op, error) {
		src, dst, err := pairBehind(value, osfile.Volume(value))
		return patch.CopyDir{Src: patch.Source{Path: src}, Dst: dst, Replace: replace}, err
	},
	"mkdir": func(value string, _ bool) (patch.Op, error) {
		path, attr, err := pathMode(value)
		return patch.Mkdir{Path: path, Attr: attr}, err
	},
	"symlink": func(value string, replace bool) (patch.Op, error) {
		target, link, err := pair(value)
		return patch.Symlink{Target: target, Link: link, Replace: replace}, err
	},
	"link": func(value string, replace bool) (patch.Op, error) {
		target, link, err := pair(value)
		return patch.Link{Target: target, Link: link, Replace: replace}, err
	},
	"rename": func(value string, replace bool) (patch.Op, error) {
		src, dst, err := pair(value)
		return patch.Rename{Src: src, Dst: dst, Replace: replace}, err
	},
	"remove": func(value string, _ bool) (patch.Op, error) {
		return patch.Remove{Path: unescaped(value)}, nil
	},
	"chmod": func(value string, _ bool) (patch.Op, error) {
		path, attr, err := pathMode(value)
		if err == nil && attr.Mode == nil {
			err = errors.New("no colon with a mode at the end")
		}
		if err != nil {
			return nil, err
		}
		return patch.Chmod{Path: path, Mode: *attr.Mode}, nil
	},
	"chown": parseChown,
	"xattr": func(value string, _ bool) (patch.Op, error) {
		path, rest, found := cutUnescaped(value, '=')
		name, text, also := cutUnescaped(rest, '=')
		if !found || !also {
			return nil, errors.New("it is not PATH=NAME=VALUE")
		}
		text, err := xattrValue(text)
		return patch.Xattr{Path: path, Name: name, Value: text}, err
	},
	"remove-xattr": func(value string, _ bool) (patch.Op, error) {
		path, name, found := cutUnescaped(value, '=')
		if !found {
			return nil, errors.New("it is not PATH=NAME")
		}
		return patch.Xattr{Path: path, Name: unescaped(name), Remove: true}, nil
	},
	"touch": parseTouch,
}

func parseChown(value string, _ bool) (patch.Op, error) {
	path, ids, found := cutUnescaped(value, '=')
	if !found {
		return nil, errors.New("it is not PATH=UID[:GID]")
	}
	uid, gid, both := strings.Cut(ids, ":")
	op := patch.Chown{Path: path}
	for _, id := range []struct {
		text string
		set  **uint32
		skip bool
	}{{uid, &op.UID, uid == "" && both}, {gid, &op.GID, !both}} {
		if id.skip {
			continue
		}
		n, err := strconv.ParseUint(id.text, 10, 32)
		if err != nil || n == math.MaxUint32 {
			return nil, fmt.Errorf("%q is not a number from 0 to %d", id.text, uint32(math.MaxUint32-1))
		}
		narrow := uint32(n)
		*id.set = &narrow
	}
	return op, nil
}

func parseTouch(value string, _ bool) (patch.Op, error) {
	if _, _, found := cutEscaped(value, '='); !found {
		path, attr, err := pathMode(value)
		return patch.Touch{Path: path, Attr: attr}, err
	}
	path, text, attr, err := assignment(value)
	if err != nil {
		return nil, err
	}
	var at cli.Time
	err = at.UnmarshalText([]byte(text))
	return patch.Touch{Path: path, Time: (*tree.Time)(&at), Attr: attr}, err
}

// xattrValue is the value as setfattr takes it: 0x and hex, 0s and base64, or text.
func xattrValue(text string) (string, error) {
	var b []byte
	var err error
	switch {
	case strings.HasPrefix(text, "0x"):
		if b, err = hex.DecodeString(text[2:]); err != nil {
			err = errors.New("the value after 0x is not hex")
		}
	case strings.HasPrefix(text, "0s"):
		if b, err = base64.StdEncoding.Strict().DecodeString(text[2:]); err != nil {
			err = errors.New("the value after 0s is not base64")
		}
	default:
		return text, nil
	}
	return string(b), err
}

// assignment takes PATH[:MODE]=TEXT apart.
func assignment(value string) (path, text string, attr patch.Attr, err error) {
	path, text, found := cutEscaped(value, '=')
	if !found {
		return "", "", attr, errors.New("no equals sign after the path")
	}
	path, attr, err = pathMode(path)
	return path, text, attr, err
}

// pathMode takes PATH[:MODE] apart. Only a mode may follow the last colon that is not
// escaped.
func pathMode(value string) (string, patch.Attr, error) {
	at := -1
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case ':':
			at = i
		}
	}
	if at < 0 {
		return unescaped(value), patch.Attr{}, nil
	}
	digits := value[at+1:]
	n, err := strconv.ParseUint(digits, 8, 16)
	if err != nil || len(digits) != 4 || n > 0o7777 {
		return "", patch.Attr{}, fmt.Errorf(`%q after the colon is not a mode of four octal digits; \: is a colon in a path`, digits)
	}
	mode := uint16(n)
	return unescaped(value[:at]), patch.Attr{Mode: &mode}, nil
}

// pair takes A:B apart.
func pair(value string) (a, b string, err error) { return pairBehind(value, 0) }

// pairBehind is pair where the first bytes of A, drive in number, name a drive of Windows.
func pairBehind(value string, drive int) (a, b string, err error) {
	a, b, found := cutBehind(value, drive, ':')
	if _, _, more := cutEscaped(b, ':'); !found || more {
		return "", "", errors.New(`it is not two paths with a colon between them; \: is a colon in a path`)
	}
	return a, unescaped(b), nil
}

// cutBehind is cutUnescaped of what follows the first bytes of s, drive in number, which stay
// as they are.
func cutBehind(s string, drive int, sep byte) (before, after string, found bool) {
	before, after, found = cutUnescaped(s[drive:], sep)
	return s[:drive] + before, after, found
}

// cutUnescaped is cutEscaped that also unescapes before.
func cutUnescaped(s string, sep byte) (before, after string, found bool) {
	before, after, found = cutEscaped(s, sep)
	return unescaped(before), after, found
}

// cutEscaped splits s at the first sep that has no backslash before it.
func cutEscaped(s string, sep byte) (before, after string, found bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// unescaped replaces \:, \= and \\ by the characters that they stand for, and keeps other
// backslashes.
var unescaped = strings.NewReplacer(`\:`, ":", `\=`, "=", `\\`, `\`).Replace
