package patch

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// checkCharacters returns an error for what YAML may not have anywhere, of which the library does
// not say the line. Text in UTF-16 is left to it.
func checkCharacters(data []byte) error {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil
	}
	p := jsonParser{data: data, pos: position{1, 1}}
	if i := invalidUTF8(data); i >= 0 {
		return at(p.advance(i), "byte 0x%02x is not UTF-8", data[i])
	}
	if i := bytes.IndexFunc(data, isForbidden); i >= 0 {
		c, _ := utf8.DecodeRune(data[i:])
		return at(p.advance(i), "the character U+%04X is not allowed in YAML: write it as an escape, in double quotes", c)
	}
	return nil
}

// isForbidden reports whether c is none of the printable characters of YAML 1.2, section 5.1.
func isForbidden(c rune) bool {
	switch {
	case c < ' ':
		return c != '\t' && c != '\n' && c != '\r'
	case c < 0xa0:
		return c >= 0x7f && c != 0x85
	}
	return c == 0xfffe || c == 0xffff
}

var yamlLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?(.*)$`)
})

// yamlFault puts an error of the YAML library about data into words, with its line.
func yamlFault(data []byte, err error) error {
	m := yamlLine().FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	text := m[2]
	if name, ok := strings.CutPrefix(text, "unknown anchor '"); ok {
		name = "*" + strings.TrimSuffix(name, "' referenced")
		return at(aliasAt(data, name, text), "%.60q is an alias to YAML: put it in quotes", name)
	}
	line, _ := strconv.Atoi(m[1]) // the library leaves out a first line
	words, ofParser := parserFaults[text]
	if !ofParser {
		words = scannerFaults[text]
	}
	switch {
	case (words == misplaced || words == noTabs) && len(data) <= maxSearch:
		line = lineOf(data, text)
	case ofParser:
		line = min(line+1, 1+bytes.Count(bytes.TrimRight(data, "\n"), []byte("\n"))) // it counts from 0, and one after the last
	}
	if words == "" {
		words = text
	}
	return &FileError{Line: max(line, 1), Err: errors.New(words)}
}

const (
	misplaced   = "neither continues nor follows what stands above: check the indentation and the quotes"
	openQuote   = "a text in quotes has no end"
	noTabs      = "a tab is in the indentation: use spaces"
	noTags      = "! begins a tag, and tags are not supported: put the text in quotes"
	noDirective = "% begins a directive, and none but %YAML 1.1 and 1.2 is known: put the text in quotes"
	badHeader   = "after | or > there may be + or -, a digit, and a comment"
	noList      = "- cannot begin a list here: put it in a line of its own, or in quotes"
)

// parserFaults are the errors of the library that have the number of a line from 0. It is the one
// where the list or object begins or, if that is the first, the one that is wrong.
var parserFaults = map[string]string{
	"did not find expected key":              misplaced,
	"did not find expected '-' indicator":    misplaced,
	"did not find expected ',' or ']'":       "a list in [ ] lacks a comma or its end",
	"did not find expected ',' or '}'":       "an object in { } lacks a comma or its end",
	"did not find expected node content":     "a value is missing",
	"did not find expected <document start>": "more follows after the end of the document",
	"found undefined tag handle":             noTags,
	"found incompatible YAML document":       noDirective,
	"found duplicate %YAML directive":        noDirective,
	"found duplicate %TAG directive":         noDirective,
}

// scannerFaults are those that have it from 1.
var scannerFaults = map[string]string{
	"mapping values are not allowed in this context":               "a : too many, or in a text, which then needs quotes",
	"mapping keys are not allowed in this context":                 "? cannot begin a key here: put the text in quotes",
	"block sequence entries are not allowed in this context":       noList,
	"could not find expected ':'":                                  "a key without a :, or a text of several lines without quotes",
	"found character that cannot start any token":                  "a tab, or one of @ ` %, begins a value: indent with spaces, and put texts in quotes",
	"found unexpected end of stream":                               openQuote,
	"found unexpected document indicator":                          openQuote,
	"found unknown escape character":                               "an unknown escape: write \\\\ for a backslash, or use single quotes",
	"did not find expected hexdecimal number":                      "\\x wants 2 hex digits, \\u 4 and \\U 8",
	"found invalid Unicode character escape code":                  "an escape for what is not a character",
	"found a tab character where an indentation space is expected": noTabs,
	"found a tab character that violates indentation":              noTabs,
	"did not find expected alphabetic or numeric character":        "& or * begins a name to YAML: put the text in quotes",
	"did not find expected tag URI":                                noTags,
	"did not find the expected '>'":                                noTags,
	"did not find expected '!'":                                    noTags,
	"did not find expected whitespace or line break":               noTags,
	"did not find expected comment or line break":                  badHeader,
	"found an indentation indicator equal to 0":                    badHeader,
	"found unknown directive name":                                 noDirective,
	"could not find expected directive name":                       noDirective,
	"found unexpected non-alphabetical character":                  noDirective,
	"did not find expected version number":                         noDirective,
	"did not find expected digit or '.' character":                 noDirective,
	"found extremely long version number":                          noDirective,
}

// aliasAt returns the position of the alias name, of which the parser says text: the first place
// of name that makes the parser say it. It is the zero position in a file that is too long.
func aliasAt(data []byte, name, text string) position {
	if len(data) > maxSearch {
		return position{}
	}
	var ends []int
	for end := 0; ; {
		i := bytes.Index(data[end:], []byte(name))
		if i < 0 {
			break
		}
		end += i + len(name)
		ends = append(ends, end)
	}
	if len(ends) == 0 { // in UTF-16
		return position{}
	}
	i := sort.Search(len(ends)-1, func(i int) bool { return says(data[:ends[i]], text) })
	p := jsonParser{data: data, pos: position{1, 1}}
	return p.advance(ends[i] - len(name))
}

// maxSearch is the greatest length of a file that is read over and over, in bytes.
const maxSearch = 1 << 20

// lineOf returns the line at which the parser says text. The library tells only where the list,
// object or text begins. Since the end of the file ends those, the lines down to the wrong one
// are the fewest of which the parser says the same.
func lineOf(data []byte, text string) int {
	lines := bytes.SplitAfter(data, []byte("\n"))
	length, ends := 0, make([]int, len(lines))
	for i, l := range lines {
		length += len(l)
		ends[i] = length
	}
	return 1 + sort.Search(len(lines)-1, func(i int) bool { return says(data[:ends[i]], text) })
}

// says reports whether text is what the parser says of data.
func says(data []byte, text string) bool {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var err error
	for err == nil {
		err = dec.Decode(new(yaml.Node))
	}
	return err != io.EOF && strings.HasSuffix(err.Error(), text)
}
