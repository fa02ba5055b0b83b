package patch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"ocipipe/lib/jsonfault"
)

// parseJSON reads a JSON text.
func parseJSON(data []byte) (*value, error) {
	p := jsonParser{data: data, dec: json.NewDecoder(bytes.NewReader(data)), pos: position{1, 1}}
	p.dec.UseNumber()
	if i := invalidUTF8(data); i >= 0 {
		return nil, at(p.advance(i), "byte 0x%02x is not UTF-8", data[i])
	}
	v, err := p.value(0)
	if err != nil {
		return nil, p.fault(err)
	}
	switch _, pos, err := p.token(); err {
	case io.EOF:
		return v, nil
	case nil:
		return nil, at(pos, "more than one value")
	default:
		return nil, p.fault(err)
	}
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

type jsonParser struct {
	data []byte
	dec  *json.Decoder
	off  int      // in data, up to which pos has counted
	pos  position // of off

	values int
}

// advance returns the position of the byte off, which must not be before the one of the
// last call.
func (p *jsonParser) advance(off int) position {
	for ; p.off < off; p.off++ {
		switch c := p.data[p.off]; {
		case c == '\n':
			p.pos = position{p.pos.line + 1, 1}
		case utf8.RuneStart(c):
			p.pos.column++
		}
	}
	return p.pos
}

// fault returns err with its position, or with that of p if err has none.
func (p *jsonParser) fault(err error) error {
	var known *FileError
	if errors.As(err, &known) {
		return err
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		p.off, p.pos = 0, position{1, 1}
		return at(p.advance(p.offset(syntax)), "%s", syntaxText(syntax))
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return at(p.advance(int(p.dec.InputOffset())), "%w", jsonfault.Explain(err))
	}
	return at(p.advance(int(p.dec.InputOffset())), "%w", err)
}

// offset returns the byte that is wrong: the first of a token or, where that is wrong within,
// what is found when it is read again. What package json counts is not always from the beginning.
func (p *jsonParser) offset(e *json.SyntaxError) int {
	off := min(int(p.dec.InputOffset()), len(p.data))
	var again *json.SyntaxError
	if strings.Contains(e.Error(), " in ") && errors.As(json.Unmarshal(p.data[off:], new(any)), &again) {
		return min(max(off+int(again.Offset)-1, 0), len(p.data))
	}
	return len(p.data) - len(bytes.TrimLeft(p.data[off:], " \t\r\n"))
}

// syntaxText says in words what package json expected.
func syntaxText(e *json.SyntaxError) string {
	text := strings.TrimPrefix(e.Error(), "invalid character ")
	if at, ok := strings.CutSuffix(text, " looking for beginning of value"); ok {
		return at + " where a value should be"
	}
	at, isKey := strings.CutSuffix(text, " looking for beginning of object key string")
	if isKey || !strings.Contains(text, " ") || text == "' '" {
		return at + " where a name in double quotes should be"
	}
	return e.Error()
}

// token returns the next token and its position.
func (p *jsonParser) token() (json.Token, position, error) {
	off := int(p.dec.InputOffset())
	for off < len(p.data) && strings.IndexByte(" \t\r\n,:", p.data[off]) >= 0 {
		off++
	}
	pos := p.advance(off)
	t, err := p.dec.Token()
	if s, ok := t.(string); ok && err == nil {
		err = p.checkString(s, off, pos)
	}
	return t, pos, err
}

// checkString refuses an escape that is half of a character (a lone surrogate), which
// encoding/json replaces by another character.
func (p *jsonParser) checkString(s string, off int, pos position) error {
	const replacement = "\uFFFD"
	raw := string(p.data[off:p.dec.InputOffset()])
	if strings.Count(s, replacement) > strings.Count(raw, replacement)+strings.Count(strings.ToLower(raw), `\ufffd`) {
		return at(pos, "string with half of a surrogate pair")
	}
	return nil
}

// value reads the next value.
func (p *jsonParser) value(depth int) (*value, error) {
	t, pos, err := p.token()
	if err != nil {
		return nil, err
	}
	if p.values++; p.values > maxValues {
		return nil, at(pos, "%w", errValues)
	}
	v := &value{pos: pos}
	switch t := t.(type) {
	case nil:
		v.kind = isNull
	case bool:
		v.kind, v.text = isBool, "false"
		if t {
			v.text = "true"
		}
	case json.Number:
		v.kind, v.text = isNumber, string(t)
	case string:
		v.kind, v.text = isString, t
	case json.Delim:
		if depth >= maxNesting {
			return nil, at(pos, "%w", errNesting)
		}
		if t == '[' {
			v.kind = isList
			return v, p.list(v, depth)
		}
		v.kind = isObject
		return v, p.object(v, depth)
	}
	return v, nil
}

func (p *jsonParser) list(v *value, depth int) error {
	for p.dec.More() {
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
	_, _, err := p.token()
	return err
}

func (p *jsonParser) object(v *value, depth int) error {
	for p.dec.More() {
		key, pos, err := p.token()
		if err != nil {
			return err
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		if err := v.add(field{key.(string), pos, item}); err != nil {
			return err
		}
	}
	_, _, err := p.token()
	return err
}
