package strictjson

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"ocipipe/lib/snapshot/fault"
)

// Kind is what a Value is.
type Kind int

// The kinds of values.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

var kindNames = [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}

func (k Kind) String() string { return kindNames[k] }

// Value is a JSON value.
type Value struct {
	Kind   Kind
	Text   string   // of a Number: its digits; of a String: its characters; "true" or "false"
	Items  []*Value // of an Array, and the values of an Object
	Keys   []string // of an Object
	Offset int      // where the value begins, in bytes

	record bool // see Record
}

const (
	// MaxDepth is how deep arrays and objects may be nested.
	MaxDepth = 127
	// MaxValues is how many values there may be; each takes about 100 bytes of memory.
	MaxValues = 1 << 20
)

// CountValues returns how many values data has at most. It only counts what may begin one.
func CountValues(data []byte) int {
	n := 1
	for _, c := range []string{",", "[", "{"} {
		n += bytes.Count(data, []byte(c))
	}
	return n
}

// Parse parses data, which holds one value. The errors say at which byte, and are
// [fault.ErrCorrupt], or [fault.ErrUnsupported] for numbers that have no canonical form.
func Parse(data []byte) (*Value, error) {
	p := parser{data: data}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n <= 1 {
			return nil, fault.Corrupt("byte %d: 0x%02x is not UTF-8", i, data[i])
		}
		i += n
	}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.off < len(data) {
		return nil, p.fault("something follows the value")
	}
	return v, nil
}

type parser struct {
	data   []byte
	off    int
	values int
}

func (p *parser) fault(format string, args ...any) error {
	return fault.Corrupt("byte %d: "+format, append([]any{p.off}, args...)...)
}

func (p *parser) space() {
	for p.off < len(p.data) && strings.IndexByte(" \t\r\n", p.data[p.off]) >= 0 {
		p.off++
	}
}

// peek returns the next byte, 0 at the end.
func (p *parser) peek() byte {
	if p.off < len(p.data) {
		return p.data[p.off]
	}
	return 0
}

// unexpected is the error about what stands where want should.
func (p *parser) unexpected(want string) error {
	if p.off >= len(p.data) {
		return p.fault("cut short: %s is missing", want)
	}
	r, _ := utf8.DecodeRune(p.data[p.off:])
	return p.fault("%q in the place of %s", r, want)
}

func (p *parser) value(depth int) (v *Value, err error) {
	p.space()
	if p.values++; p.values > MaxValues {
		return nil, p.fault("more than %d values", MaxValues)
	}
	v = &Value{Offset: p.off}
	switch c := p.peek(); {
	case c == '{' || c == '[':
		if depth >= MaxDepth {
			return nil, p.fault("nested deeper than %d", MaxDepth)
		}
		if c == '[' {
			v.Kind = Array
			return v, p.array(v, depth)
		}
		v.Kind = Object
		return v, p.object(v, depth)
	case c == '"':
		v.Kind = String
		v.Text, err = p.text()
	case c == '-' || '0' <= c && c <= '9':
		v.Kind = Number
		v.Text, err = p.number()
	default:
		err = p.word(v)
	}
	return v, err
}

func (p *parser) word(v *Value) error {
	for _, w := range []string{"null", "true", "false"} {
		if strings.HasPrefix(string(p.data[p.off:min(len(p.data), p.off+len(w))]), w) {
			p.off += len(w)
			if v.Text = w; w != "null" {
				v.Kind = Bool
			}
			return nil
		}
	}
	return p.unexpected("a value")
}

// number reads a number. Its text is in the canonical form.
func (p *parser) number() (string, error) {
	from := p.off
	for p.off < len(p.data) && strings.IndexByte("+-.0123456789eE", p.data[p.off]) >= 0 {
		p.off++
	}
	text := string(p.data[from:p.off])
	p.off = from
	digits := strings.TrimPrefix(text, "-")
	switch {
	case digits == "" || len(digits) > 1 && '0' <= digits[1] && digits[1] <= '9' && digits[0] == '0' || digits[0] < '0' || digits[0] > '9':
		return "", p.fault("%.40q is not a number", text)
	case strings.ContainsAny(digits, "+-.eE") || text == "-0":
		return "", fault.Unsupported("byte %d: %.40q is a number, but not an integer", from, text)
	}
	_, err := strconv.ParseUint(text, 10, 64)
	if text != digits {
		_, err = strconv.ParseInt(text, 10, 64)
	}
	if err != nil {
		return "", fault.Unsupported("byte %d: the number %.40s does not fit into 64 bits", from, text)
	}
	p.off += len(text)
	return text, nil
}

func (p *parser) array(v *Value, depth int) error {
	p.off++
	if p.space(); p.peek() == ']' {
		p.off++
		return nil
	}
	for {
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		v.Items = append(v.Items, item)
		if done, err := p.next(']'); done || err != nil {
			return err
		}
	}
}

func (p *parser) object(v *Value, depth int) error {
	p.off++
	if p.space(); p.peek() == '}' {
		p.off++
		return nil
	}
	seen := map[string]bool{}
	for {
		if p.space(); p.peek() != '"' {
			return p.unexpected("a key")
		}
		at := p.off
		key, err := p.text()
		if err != nil {
			return err
		}
		if seen[key] {
			p.off = at
			return p.fault("the key %.60q is there twice", key)
		}
		seen[key] = true
		if p.space(); p.peek() != ':' {
			return p.unexpected("a colon")
		}
		p.off++
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		v.Keys, v.Items = append(v.Keys, key), append(v.Items, item)
		if done, err := p.next('}'); done || err != nil {
			return err
		}
	}
}

// next reads a comma, or end, which ends the array or object.
func (p *parser) next(end byte) (done bool, err error) {
	p.space()
	switch p.peek() {
	case ',':
		p.off++
		return false, nil
	case end:
		p.off++
		return true, nil
	}
	return false, p.unexpected("a comma or " + strconv.QuoteRune(rune(end)))
}

// text reads a string.
func (p *parser) text() (string, error) {
	var b []byte
	for p.off++; ; {
		if p.off >= len(p.data) {
			return "", p.unexpected("the end of a string")
		}
		switch c := p.data[p.off]; {
		case c == '"':
			p.off++
			return string(b), nil
		case c < 0x20:
			return "", p.fault("control character 0x%02x in a string", c)
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, r)
		default:
			b = append(b, c)
			p.off++
		}
	}
}

// escapes are the short ones, and what they stand for.
const escapes, escaped = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

func (p *parser) escape() (rune, error) {
	if p.off+1 >= len(p.data) {
		return 0, p.unexpected("an escape")
	}
	if i := strings.IndexByte(escapes, p.data[p.off+1]); i >= 0 {
		p.off += 2
		return rune(escaped[i]), nil
	}
	r, ok := p.unit(p.off)
	if !ok {
		return 0, p.fault("not a valid escape in a string")
	}
	n := 6
	if utf16.IsSurrogate(r) {
		low, ok := p.unit(p.off + n)
		r = utf16.DecodeRune(r, low)
		if !ok || r == utf8.RuneError {
			return 0, p.fault("half of a surrogate pair in a string")
		}
		n *= 2
	}
	p.off += n
	return r, nil
}

// unit returns the number of the escape \uXXXX at off.
func (p *parser) unit(off int) (rune, bool) {
	if off+6 > len(p.data) || p.data[off] != '\\' || p.data[off+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(p.data[off+2:off+6]), 16, 16)
	return rune(n), err == nil
}
