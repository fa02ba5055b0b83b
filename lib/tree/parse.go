package tree

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
)

// fields has the words of one record, as they stand in the line. It is used again for each
// record, so parsing allocates only what the Entry keeps.
type fields struct {
	known [numWords][]byte // value of each word; nil if absent
	xattr []word
	extra []word
	text  []byte // buffer for decoding
}

type word struct{ name, value []byte }

// The keywords of a record.
const (
	wordType = iota
	wordMode
	wordUID
	wordGID
	wordTime
	wordSize
	wordLink
	wordDevice
	wordHardlink
	wordLower
	wordBelow
	wordExtents
	wordNoChange
	wordDigest
	wordNlink
	numWords
)

// wordIndex returns the number of the keyword name, or -1 if it is unknown.
func wordIndex(name []byte) int {
	switch string(name) {
	case "type":
		return wordType
	case "mode":
		return wordMode
	case "uid":
		return wordUID
	case "gid":
		return wordGID
	case "time":
		return wordTime
	case "size":
		return wordSize
	case "link":
		return wordLink
	case "device":
		return wordDevice
	case "hardlink":
		return wordHardlink
	case "lower":
		return wordLower
	case "below":
		return wordBelow
	case "extents":
		return wordExtents
	case "nochange":
		return wordNoChange
	case digestWord:
		return wordDigest
	case "nlink":
		return wordNlink
	}
	return -1
}

// parse decodes line, a record without its LF, into e. After an error e has its Path, unless
// the path itself is wrong.
func (f *fields) parse(e *Entry, line []byte, form Data) (err error) {
	*e = Entry{}
	path, rest, more := bytes.Cut(line, []byte(" "))
	if e.Path, err = parsePath(path); err != nil {
		return err
	}
	if err := f.split(rest, more); err != nil {
		return err
	}
	if err := f.common(e, form); err != nil {
		return err
	}
	if err := f.byType(e, form); err != nil {
		return err
	}
	if err := f.marks(e); err != nil {
		return err
	}
	return f.rest(e, form)
}

// split splits b into words; more says that b begins with a word, even if b is empty.
func (f *fields) split(b []byte, more bool) error {
	f.known = [numWords][]byte{}
	f.xattr, f.extra = f.xattr[:0], f.extra[:0]
	for more {
		name := 0 // its length; names are short, so this is faster than bytes.IndexByte
		for name < len(b) && b[name] != '=' && b[name] != ' ' {
			name++
		}
		end := bytes.IndexByte(b[name:], ' ')
		if more = end >= 0; !more {
			end = len(b) - name
		}
		if err := f.word(b[:name], b[name:name+end]); err != nil {
			return err
		}
		if more {
			b = b[name+end+1:]
		}
	}
	return nil
}

// word notes a keyword and its value. The value begins with "=", or is empty if the keyword
// has none.
func (f *fields) word(name, value []byte) error {
	hasValue := len(value) > 0
	if hasValue {
		value = value[1:]
	}
	i := wordIndex(name)
	switch {
	case i >= 0:
		if f.known[i] != nil {
			return fmt.Errorf("keyword %s appears twice", name)
		}
		if isBare := i == wordLower || i == wordNoChange; isBare && hasValue {
			return fmt.Errorf("keyword %s has a value", name)
		} else if !isBare && !hasValue {
			return fmt.Errorf("keyword %s has no value", name)
		}
		f.known[i] = value
	case hasValue && bytes.HasPrefix(name, []byte(xattrPrefix)):
		f.xattr = append(f.xattr, word{name[len(xattrPrefix):], value})
	case hasValue && bytes.HasPrefix(name, []byte(extraPrefix)) && len(name) > len(extraPrefix):
		f.extra = append(f.extra, word{name, value})
	case len(name) == 0 && !hasValue:
		return errors.New("more than one space, or one at the end")
	default:
		return fmt.Errorf("unknown keyword %q", name)
	}
	return nil
}

// parsePath decodes "." or "./a/b".
func parsePath(b []byte) (string, error) {
	if string(b) == "." {
		return ".", nil
	}
	b, ok := bytes.CutPrefix(b, []byte("./"))
	if !ok {
		return "", errors.New("path does not begin with ./")
	}
	path, err := unescape(b)
	if err != nil {
		return "", err
	}
	if path == "." {
		return "", errors.New(`path component "."`)
	}
	return path, CheckPath(path)
}

// common reads the words that every record has.
func (f *fields) common(e *Entry, form Data) error {
	var ok bool
	if e.Type = parseType(f.known[wordType]); e.Type == 0 {
		return errors.New("type is missing or unknown")
	}
	if e.Mode, ok = parseMode(f.known[wordMode], form); !ok {
		return errors.New("mode is not four octal digits")
	}
	uid, okUID := parseUint(f.known[wordUID], 1<<32-1)
	gid, okGID := parseUint(f.known[wordGID], 1<<32-1)
	if !okUID || !okGID {
		return errors.New("uid or gid is missing or not a number of 32 bits")
	}
	e.UID, e.GID = uint32(uid), uint32(gid)
	if e.Time, ok = parseTime(f.known[wordTime]); !ok {
		return errors.New("time is not seconds, a point and nine digits")
	}
	if v := f.known[wordNlink]; v != nil {
		n, ok := parseUint(v, 1<<32-1)
		if !ok || form == Inline {
			return errors.New("nlink is a number of 32 bits in a stream without data")
		}
		e.Nlink = uint32(n)
	}
	if e.Path == "." && e.Type != Dir {
		return errors.New("the root is not a directory")
	}
	return nil
}

// byType reads the words that belong to one type, and refuses them elsewhere.
func (f *fields) byType(e *Entry, form Data) error {
	size, link, device := f.known[wordSize], f.known[wordLink], f.known[wordDevice]
	if (size != nil) != (e.Type == File) {
		return errors.New("size belongs to every file, and to nothing else")
	}
	if (link != nil) != (e.Type == Link) {
		return errors.New("link belongs to every symbolic link, and to nothing else")
	}
	if (device != nil) != (e.Type == Char || e.Type == Block) {
		return errors.New("device belongs to every device, and to nothing else")
	}
	switch {
	case size != nil:
		n, ok := parseUint(size, 1<<63-1)
		if !ok {
			return errors.New("size is not a number of 63 bits")
		}
		e.Size = int64(n)
	case link != nil:
		return parseLink(e, link, form)
	case device != nil:
		var ok bool
		if e.Dev, ok = parseDevice(device); !ok {
			return errors.New("device is not native,MAJOR,MINOR")
		}
	}
	return nil
}

// marks reads hardlink and the marks of a layer.
func (f *fields) marks(e *Entry) error {
	e.NoChange = f.known[wordNoChange] != nil
	if e.NoChange && e.Type != Dir {
		return errors.New("nochange belongs to directories")
	}
	var below []string
	if v := f.known[wordBelow]; v != nil {
		var err error
		if below, err = parseBelow(e, v); err != nil {
			return fmt.Errorf("below: %w", err)
		}
		e.Lower = &Lower{Targets: below, Else: true}
	}
	isLower := f.known[wordLower] != nil
	v := f.known[wordHardlink]
	if v == nil {
		if isLower {
			return errors.New("lower without hardlink")
		}
		return nil
	}
	target, err := parseTarget(e, v)
	if err != nil {
		return fmt.Errorf("hardlink: %w", err)
	}
	if !isLower {
		e.Hardlink = target
		return nil
	}
	if e.Type != File || e.Size != 0 {
		return errors.New("a link to a layer below must be a file of size 0")
	}
	if len(below) == MaxTargets {
		return fmt.Errorf("below: over %d paths, that of hardlink counted", MaxTargets)
	}
	e.Lower = &Lower{Targets: append(below, target)}
	return nil
}

// parseBelow reads the paths of files of the layers below of which e may be a name.
func parseBelow(e *Entry, b []byte) (targets []string, err error) {
	for part := range bytes.SplitSeq(b, []byte(",")) {
		if len(targets) == MaxTargets {
			return nil, fmt.Errorf("over %d paths", MaxTargets)
		}
		target, err := parseTarget(e, part)
		if err != nil {
			return nil, err
		}
		targets = append(targets, target)
	}
	return targets, nil
}

// parseTarget reads the path of the file that e is a hard link to.
func parseTarget(e *Entry, b []byte) (string, error) {
	target, err := parsePath(b)
	if err == nil && (e.Type == Dir || target == ".") {
		err = errors.New("hard link to a directory")
	}
	return target, err
}

// rest reads the words that few records have.
func (f *fields) rest(e *Entry, form Data) (err error) {
	if v := f.known[wordExtents]; v != nil {
		if e.Type != File || form != Inline {
			return errors.New("extents belong to files in a stream with data")
		}
		if e.Extents, err = parseExtents(v, e.Size); err != nil {
			return err
		}
	}
	if v := f.known[wordDigest]; v != nil {
		if e.Type != File || form == Inline {
			return errors.New("sha256digest belongs to files in a stream without data")
		}
		if !isDigest(v) {
			return errors.New("sha256digest is not 64 lower-case hex digits")
		}
		e.Extra = &Keywords{{digestWord, string(v)}}
	}
	if err := f.xattrs(e); err != nil {
		return err
	}
	return f.extras(e)
}

func isDigest(b []byte) bool {
	for _, c := range b {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return len(b) == 64
}

var opaqueValue = base64.StdEncoding.EncodeToString([]byte(Opaque.Value))

func (f *fields) xattrs(e *Entry) error {
	if len(f.xattr) == 0 {
		return nil
	}
	if len(f.xattr) == 1 && string(f.xattr[0].name) == Opaque.Name && string(f.xattr[0].value) == opaqueValue {
		e.Xattrs = onlyOpaque // of many entries
		return nil
	}
	e.Xattrs = make([]Xattr, len(f.xattr))
	for i, w := range f.xattr {
		name, err := unescape(w.name)
		if err != nil {
			return err
		}
		if name == "" || len(name) > MaxName {
			return errors.New("xattr name is empty or over 255 bytes")
		}
		f.text, err = base64.StdEncoding.Strict().AppendDecode(f.text[:0], w.value)
		if err != nil || bytes.IndexByte(w.value, '\r') >= 0 { // the decoder would skip \r
			return errors.New("xattr value is not base64")
		}
		if len(f.text) > MaxValue {
			return errors.New("xattr value over 65535 bytes")
		}
		e.Xattrs[i] = Xattr{name, string(f.text)}
		if e.NoChange && e.Xattrs[i] != Opaque {
			return errors.New("nochange with an xattr that is not the opaque mark")
		}
	}
	return sortUnique(e.Xattrs, func(x Xattr) string { return x.Name })
}

func (f *fields) extras(e *Entry) error {
	if len(f.extra) == 0 {
		return nil
	}
	words := e.Extra.list()
	for _, w := range f.extra {
		name, err := unescape(w.name)
		if err != nil {
			return err
		}
		value, err := unescape(w.value)
		if err != nil {
			return err
		}
		words = append(words, Keyword{name, value})
	}
	e.Extra = (*Keywords)(&words)
	return sortUnique(words, func(k Keyword) string { return k.Name })
}

// sortUnique sorts list by name, unless it is in order already. It returns an error if a name
// appears twice.
func sortUnique[T any](list []T, name func(T) string) error {
	byName := func(a, b T) int { return cmp.Compare(name(a), name(b)) }
	if !slices.IsSortedFunc(list, byName) {
		slices.SortFunc(list, byName)
	}
	for i := 1; i < len(list); i++ {
		if name(list[i-1]) == name(list[i]) {
			return errors.New("keyword " + printable(name(list[i])) + " appears twice")
		}
	}
	return nil
}

// parseType returns 0 for an unknown word.
func parseType(b []byte) Type {
	for i, name := range typeNames {
		if string(b) == name && i > 0 {
			return Type(i)
		}
	}
	return 0
}

// parseMode reads four octal digits, or, in a stream without data, a number as C's %#o
// prints it.
func parseMode(b []byte, form Data) (mode uint16, ok bool) {
	if form == Inline && len(b) != 4 || len(b) == 0 || len(b) > 5 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '7' {
			return 0, false
		}
		mode = mode<<3 | uint16(c-'0')
	}
	return mode, mode <= 0o7777
}

// parseUint reads decimal digits without leading zeros, up to limit.
func parseUint(b []byte, limit uint64) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 19 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= limit
}

// parseTime reads [-]SECONDS.NNNNNNNNN.
func parseTime(b []byte) (t Time, ok bool) {
	if len(b) < 11 || b[len(b)-10] != '.' {
		return t, false
	}
	for _, c := range b[len(b)-9:] {
		if c < '0' || c > '9' {
			return t, false
		}
		t.Nsec = t.Nsec*10 + uint32(c-'0')
	}
	digits := b[:len(b)-10]
	negative := digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	if negative {
		sec, ok := parseUint(digits, 1<<63)
		t.Sec = -int64(sec) // also right for -2^63, which is its own negative
		return t, ok && sec > 0
	}
	sec, ok := parseUint(digits, 1<<63-1)
	t.Sec = int64(sec)
	return t, ok
}

// parseLink reads the target of the symbolic link e. In a stream without data it has the
// form that gomtree compares, with "=" as it is and "\\" for a backslash.
func parseLink(e *Entry, value []byte, form Data) (err error) {
	if form != Inline {
		value = bytes.ReplaceAll(value, []byte(`\\`), []byte(`\134`))
		value = bytes.ReplaceAll(value, []byte("="), []byte(`\075`))
	}
	if e.Link, err = unescape(value); err != nil {
		return fmt.Errorf("link: %w", err)
	}
	if e.Link == "" || len(e.Link) > MaxPath {
		return errors.New("link target is empty or over 4095 bytes")
	}
	return nil
}

// parseDevice reads native,MAJOR,MINOR.
func parseDevice(b []byte) (d Device, ok bool) {
	b, ok = bytes.CutPrefix(b, []byte("native,"))
	i := bytes.IndexByte(b, ',')
	if !ok || i < 0 {
		return d, false
	}
	major, ok1 := parseUint(b[:i], 1<<32-1)
	minor, ok2 := parseUint(b[i+1:], 1<<32-1)
	return Device{uint32(major), uint32(minor)}, ok1 && ok2
}

// parseExtents reads OFF+LEN,... or "-": ascending, not touching, not empty, all
// within size.
func parseExtents(b []byte, size int64) ([]Extent, error) {
	xs := []Extent{}
	if string(b) == "-" {
		return xs, nil
	}
	end := int64(-1)
	for more := true; more; {
		var item []byte
		item, b, more = bytes.Cut(b, []byte(","))
		i := bytes.IndexByte(item, '+')
		if i < 0 {
			return nil, errors.New("extents are not OFFSET+LENGTH,...")
		}
		off, ok1 := parseUint(item[:i], 1<<63-1)
		n, ok2 := parseUint(item[i+1:], 1<<63-1)
		x := Extent{int64(off), int64(n)}
		switch {
		case !ok1 || !ok2:
			return nil, errors.New("extents are not OFFSET+LENGTH,...")
		case x.Len == 0 || x.Off <= end:
			return nil, errors.New("extents are empty, touch, or do not ascend")
		case x.Off > size || x.Len > size-x.Off:
			return nil, errors.New("extents reach past the size")
		}
		end = x.End()
		xs = append(xs, x)
	}
	return xs, nil
}
