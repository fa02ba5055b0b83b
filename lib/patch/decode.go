package patch

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"ocipipe/lib/magic"
)

// MaxFile is the most bytes that a file of patches may have. It also may have no more than
// about a million values, a name and what it is of counted once, and YAML fewer of the
// characters that part values.
const MaxFile = 16 << 20

// Decode reads a list of operations from r, JSON or YAML, and is strict about it: what is
// not known, missing, there twice or of another type is a [*FileError] with its
// position in the file called name. Sources of the host are relative to the directory of
// that. Each operation is [Placed].
//
// The list is the whole file, or the field "patches" of an object. Each element of the
// list is an object with one key, an operation:
//
//	text       path, content, [replace]
//	file       path, content_base64, [replace]
//	copy_file  src, dst, [replace]
//	copy_dir   src, dst, [replace], without mode
//	symlink    target, link, [replace], without mode
//	mkdir      path
//	remove     path, and nothing else
//	append     path, content
//	chmod      path, mode
//	chown      path, uid or gid or both
//	link       target, link, [replace]
//	xattr      path, name, value or value_base64 or "remove": true
//	rename     src, dst, [replace]
//	touch      path, [time]
//
// All may have mode, uid and gid, too, unless the table says otherwise. A mode is a string
// of four octal digits. A time is a number of seconds since 1970, or a string: such a
// number, which may have decimals, or a time as in RFC 3339. In YAML, a string that is a
// mode or a time has to be quoted.
func Decode(r io.Reader, name string) ([]Op, error) {
	d := decoder{file: name}
	v, err := parse(r)
	if err == nil {
		err = d.document(v, nil)
	}
	if err != nil {
		return nil, inFile(err, name)
	}
	return d.ops, nil
}

// Load reads the file name like Decode. An object in it may also have "patch_files", a list
// of files whose operations come before those of "patches". Their names are relative to
// the directory of the first file, and they cannot name further files. Load calls open for
// each file, and closes what it returns.
func Load(name string, open func(name string) (io.ReadCloser, error)) ([]Op, error) {
	v, err := openFile(name, open)
	if err != nil {
		return nil, err
	}
	d := decoder{file: name}
	err = d.document(v, func(file string) error {
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(name), file)
		}
		v, err := openFile(file, open)
		if err != nil {
			return err
		}
		first := decoder{file: file, before: len(d.ops)}
		if err := first.document(v, nil); err != nil {
			return inFile(err, file)
		}
		d.ops = append(d.ops, first.ops...)
		return nil
	})
	if err != nil {
		return nil, inFile(err, name)
	}
	return d.ops, nil
}

func openFile(name string, open func(name string) (io.ReadCloser, error)) (*value, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v, err := parse(f)
	if err != nil {
		return nil, inFile(err, name)
	}
	return v, nil
}

// inFile adds the file name to err, unless err has one.
func inFile(err error, name string) error {
	var syntax *FileError
	if !errors.As(err, &syntax) {
		return &FileError{File: name, Err: err}
	}
	if syntax.File == "" {
		syntax.File = name
	}
	return err
}

// parse reads a list of patches. Its error says what the input is instead, if it is recognised.
func parse(r io.Reader) (*value, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, err
	}
	v, err := parseText(data)
	if named := magic.Explain(err, data, magic.Patches, magic.Text, magic.JSON, magic.Script, magic.Empty); named != err {
		return nil, &FileError{Err: named} // without the line
	}
	return v, err
}

// parseText reads JSON, or YAML if it is not JSON.
func parseText(data []byte) (*value, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("file of more than %d bytes", MaxFile)
	}
	text := bytes.TrimLeft(data, " \t\r\n")
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return parseYAML(data)
	}
	if json.Valid(data) || checkMarks(data) != nil {
		return parseJSON(data)
	}
	v, err := parseYAML(data)
	if syntax := (*FileError)(nil); errors.As(err, &syntax) && syntax.Column == 0 { // neither of them
		_, err = parseJSON(data)
	}
	return v, err
}

type decoder struct {
	file   string // its name
	before int    // operations of other files
	ops    []Op
}

// document decodes the whole file. It calls load for the files that the file names; if load
// is nil, it must not name any.
func (d *decoder) document(v *value, load func(file string) error) error {
	if v.kind != isObject {
		return d.list(v)
	}
	f := fields{value: v}
	files := f.take("patch_files")
	list := f.take("patches")
	if err := f.rest("an object with patches"); err != nil {
		return err
	}
	if files != nil {
		if err := d.files(files, load); err != nil {
			return err
		}
	}
	if list == nil || list.kind == isNull {
		if list == nil && files == nil {
			return at(v.pos, `neither a list nor an object with "patches"`)
		}
		return nil
	}
	return d.list(list)
}

func (d *decoder) files(v *value, load func(file string) error) error {
	if load == nil {
		return at(v.pos, "patch_files cannot be named here")
	}
	if v.kind != isList {
		return at(v.pos, "patch_files is %s, not a list", v.kind)
	}
	for _, file := range v.items {
		if file.kind != isString || file.text == "" {
			return at(file.pos, "patch_files has %s, not the name of a file", file.kind)
		}
		if err := load(file.text); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) list(v *value) error {
	if v.kind != isList {
		return at(v.pos, "patches are %s, not a list", v.kind)
	}
	d.ops = slices.Grow(d.ops, len(v.items))
	for _, item := range v.items {
		op, err := d.op(item)
		if err != nil {
			return err
		}
		d.ops = append(d.ops, Placed{op, d.file, item.pos.line, item.pos.column, d.before + len(d.ops) + 1})
	}
	return nil
}

// op decodes an element of the list.
func (d *decoder) op(v *value) (Op, error) {
	failed := &OpError{Index: d.before + len(d.ops) + 1}
	fail := func(pos position, err error) (Op, error) {
		var known *FileError
		if errors.As(err, &known) {
			pos, err = position{known.Line, known.Column}, known.Err
		}
		failed.Err = err
		return nil, at(pos, "%w", failed)
	}
	switch {
	case v.kind != isObject:
		return fail(v.pos, fmt.Errorf("it is %s, not an object", v.kind))
	case len(v.fields) != 1:
		return fail(v.pos, fmt.Errorf("an object with %d keys, not with one, the operation", len(v.fields)))
	}
	key := v.fields[0]
	decode := decoders[key.key]
	if decode == nil {
		return fail(key.pos, &UnknownError{fmt.Sprintf("there is no operation %q", short(key.key))})
	}
	failed.Op = key.key
	if key.value.kind != isObject {
		return fail(key.value.pos, fmt.Errorf("it is %s, not an object", key.value.kind))
	}
	f := fields{value: key.value, dir: filepath.Dir(d.file)}
	op := decode(&f)
	if f.err == nil || f.missing { // a key that is misspelt says more than one that is missing
		f.err = cmp.Or(f.rest("it"), f.err)
	}
	if f.err == nil {
		f.err = op.check()
	}
	if f.err != nil {
		if op != nil {
			failed.Path = op.path()
		}
		return fail(key.value.pos, f.err)
	}
	return op, nil
}

var decoders = map[string]func(f *fields) Op{
	"text": func(f *fields) Op {
		return Text{Path: f.path("path"), Content: f.text("content"), Replace: f.flag("replace"), Attr: f.attr()}
	},
	"file": func(f *fields) Op {
		return File{Path: f.path("path"), Content: []byte(f.base64("content_base64")), Replace: f.flag("replace"), Attr: f.attr()}
	},
	"copy_file": func(f *fields) Op {
		return CopyFile{Src: f.source("src"), Dst: f.path("dst"), Replace: f.flag("replace"), Attr: f.attr()}
	},
	"copy_dir": func(f *fields) Op {
		return CopyDir{Src: f.source("src"), Dst: f.path("dst"), Replace: f.flag("replace"), Owner: f.owner()}
	},
	"symlink": func(f *fields) Op {
		return Symlink{Target: f.text("target"), Link: f.path("link"), Replace: f.flag("replace"), Owner: f.owner()}
	},
	"mkdir": func(f *fields) Op {
		return Mkdir{Path: f.path("path"), Attr: f.attr()}
	},
	"remove": func(f *fields) Op {
		return Remove{Path: f.path("path")}
	},
	"append": func(f *fields) Op {
		return Append{Path: f.path("path"), Content: f.text("content"), Attr: f.attr()}
	},
	"chmod": func(f *fields) Op {
		o := Chmod{Path: f.path("path"), Owner: f.owner()}
		f.required("mode", func(v *value) { o.Mode = f.toMode(v) })
		return o
	},
	"chown": func(f *fields) Op {
		return Chown{Path: f.path("path"), Attr: f.attr()}
	},
	"link": func(f *fields) Op {
		return Link{Target: f.path("target"), Link: f.path("link"), Replace: f.flag("replace"), Attr: f.attr()}
	},
	"xattr": decodeXattr,
	"rename": func(f *fields) Op {
		return Rename{Src: f.path("src"), Dst: f.path("dst"), Replace: f.flag("replace"), Attr: f.attr()}
	},
	"touch": func(f *fields) Op {
		return Touch{Path: f.path("path"), Time: f.time("time"), Attr: f.attr()}
	},
}

func decodeXattr(f *fields) Op {
	o := Xattr{Path: f.path("path"), Name: f.text("name"), Remove: f.flag("remove"), Attr: f.attr()}
	has := 0
	if f.has("value") {
		has++
		o.Value = f.text("value")
	}
	if f.has("value_base64") {
		has++
		o.Value = f.base64("value_base64")
	}
	if o.Remove {
		has++
	}
	if has != 1 {
		f.fail(f.value.pos, `one of "value", "value_base64" and "remove": true is needed`)
	}
	return o
}
