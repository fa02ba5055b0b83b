package vmdk

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Descriptor is the content of a text that makes one disk of extents. It can express only
// what QEMU, VirtualBox and imago (the reader of libkrun) understand in the same way.
type Descriptor struct {
	CID        uint32 // changes with the content
	CreateType string
	Lines      []Line
}

// Line is one extent or a piece of it: the next Sectors sectors of the disk are in the
// file Name.
type Line struct {
	Sectors int64
	Type    string // typeFlat or typeSparse
	Name    string // relative to where the descriptor lies, or absolute
	Offset  int64  // in the file, in sectors; flat only
}

const (
	createFlat   = "monolithicFlat"
	createSplit  = "twoGbMaxExtentFlat"
	createStream = "streamOptimized"

	typeFlat   = "FLAT"
	typeSparse = "SPARSE"

	maxText  = 1 << 20 // bytes; every reader takes as many
	maxLines = 1000    // extents: VirtualBox reads 1100 lines
	maxName  = 511     // bytes, QEMU's buffer

	firstLine = "# Disk DescriptorFile" // VirtualBox compares all of it
	noParent  = math.MaxUint32
)

// Sectors is the size of the disk in sectors.
func (d *Descriptor) Sectors() (n int64) {
	for _, l := range d.Lines {
		n += l.Sectors
	}
	return n
}

// Encode returns the text. The lines and their order are what readers need: version has to
// be the first line that is not a comment, or QEMU takes the file for a raw disk.
// Extents follow a comment, because QEMU counts an extent after an empty line twice. All
// extents are RW, because QEMU drops others and moves what follows.
func (d *Descriptor) Encode() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=%q\n\n# Extent description\n",
		firstLine, d.CID, uint32(noParent), d.CreateType)
	for _, l := range d.Lines {
		if err := checkName(l.Name); err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "RW %d %s \"%s\"", l.Sectors, l.Type, l.Name)
		if l.Type == typeFlat {
			fmt.Fprintf(&b, " %d", l.Offset)
		}
		b.WriteByte('\n')
	}
	g := ideGeometry
	if d.CreateType == createStream {
		g = scsiGeometry
	}
	b.WriteString("\n# The Disk Data Base\n#DDB\n\n")
	for _, kv := range [][2]string{
		{"virtualHWVersion", "4"},
		{"geometry.cylinders", strconv.FormatInt(g.cylinders(d.Sectors()), 10)},
		{"geometry.heads", strconv.FormatInt(g.heads, 10)},
		{"geometry.sectors", strconv.FormatInt(sectorsPerTrack, 10)},
		{"adapterType", g.adapter},
	} {
		fmt.Fprintf(&b, "ddb.%s = \"%s\"\n", kv[0], kv[1])
	}
	if b.Len() > maxText {
		return nil, fmt.Errorf("%w: the descriptor has %d bytes: readers take %d", ErrUnsupported, b.Len(), maxText)
	}
	return b.Bytes(), nil
}

// checkName refuses a name that a reader would take for another name, or for another line:
// the format has no escapes.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: extent without a name", ErrUnsupported)
	case strings.ContainsAny(name, "\"\n\r\x00"):
		return fmt.Errorf("%w: %q: a descriptor cannot express quotes and line ends in names", ErrUnsupported, name)
	case len(name) > maxName:
		return fmt.Errorf("%w: %q: name of %d bytes: QEMU reads %d", ErrUnsupported, name[:40]+"...", len(name), maxName)
	}
	return nil
}

const sectorsPerTrack = 63

// geometry is for the BIOSes of virtual machines; no system of today asks for it.
type geometry struct {
	adapter string
	heads   int64
	limit   int64 // cylinders
}

var (
	ideGeometry  = geometry{"ide", 16, 16383}
	scsiGeometry = geometry{"lsilogic", 255, 65535}
)

func (g geometry) cylinders(sectors int64) int64 {
	track := g.heads * sectorsPerTrack
	return max(1, min((sectors-1)/track+1, g.limit))
}

// ParseDescriptor reads the text of a descriptor of any tool, which may be padded with
// zeros. It accepts what every reader understands in the same way. Other text is an error
// that names the line.
func ParseDescriptor(text []byte) (*Descriptor, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%w: descriptor of %d bytes: readers take %d", ErrUnsupported, len(text), maxText)
	}
	p := parser{keys: map[string]string{}}
	lines := strings.Split(strings.TrimRight(string(text), "\x00"), "\n")
	for i, line := range lines {
		if err := p.line(line, i == 0); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		p.blank = line == ""
	}
	return p.finish()
}

// parser is the state of ParseDescriptor between two lines.
type parser struct {
	d       Descriptor
	sectors int64 // of the extents so far
	keys    map[string]string
	ddb     bool // the disk data base has begun, so no extents follow
	blank   bool // the previous line is empty
}

func (p *parser) line(line string, first bool) error {
	switch {
	case first && line != firstLine:
		return fmt.Errorf("%w: is not %q", ErrCorrupt, firstLine)
	case strings.ContainsAny(line, "\r\x00"):
		return fmt.Errorf("%w: not plain lines of text", ErrUnsupported)
	case line == "" && len(p.keys) == 0:
		return fmt.Errorf("%w: empty line before version: QEMU takes the file for a raw disk", ErrUnsupported)
	case line == "" || line[0] == '#':
		return nil
	case strings.HasPrefix(line, "ddb."):
		p.ddb = true
		return parseDDB(line)
	case isExtent(line):
		return p.extent(line)
	case p.ddb || len(p.d.Lines) > 0:
		return fmt.Errorf("%w: %.40q after the extents", ErrCorrupt, line)
	}
	return p.key(line)
}

// key parses a line of the header.
func (p *parser) key(line string) error {
	key, value, ok := strings.Cut(line, "=")
	switch {
	case !ok:
		return fmt.Errorf("%w: %.40q is neither key=value nor an extent", ErrCorrupt, line)
	case len(p.keys) == 0 && key != "version":
		return fmt.Errorf("%w: %.40q before version: QEMU takes the file for a raw disk", ErrUnsupported, key)
	case p.keys[key] != "":
		return fmt.Errorf("%w: %.40q is there twice", ErrCorrupt, key)
	case value == "":
		return fmt.Errorf("%w: %.40q has no value", ErrCorrupt, key)
	}
	p.keys[key] = value
	return p.value(key, value)
}

func (p *parser) value(key, value string) error {
	switch key {
	case "version":
		if value != "1" && value != "2" && value != "3" {
			return fmt.Errorf("%w: version %.40q", ErrUnsupported, value)
		}
	case "CID", "parentCID":
		n, err := strconv.ParseUint(value, 16, 32)
		if err != nil || len(value) > 8 { // QEMU leaves out zeros
			return fmt.Errorf("%w: %s is %.40q, not 8 hex digits", ErrCorrupt, key, value)
		}
		if key == "CID" {
			p.d.CID = uint32(n)
		} else if n != noParent {
			return fmt.Errorf("%w: it has a parent", ErrUnsupported)
		}
	case "createType":
		text, ok := unquote(value)
		if !ok || text != createFlat && text != createSplit && text != createStream {
			return fmt.Errorf("%w: createType=%.40s", ErrUnsupported, value)
		}
		p.d.CreateType = text
	default:
		return fmt.Errorf("%w: key %.40q, which not every reader knows", ErrUnsupported, key)
	}
	return nil
}

// isExtent reports whether line begins with an access mode, as the lines of extents do.
func isExtent(line string) bool {
	word, _, _ := strings.Cut(line, " ")
	return word == "RW" || word == "RDONLY" || word == "NOACCESS"
}

// extent parses a line such as RW 16 FLAT "name" 0.
func (p *parser) extent(line string) error {
	l, err := parseLine(line)
	switch {
	case err != nil:
		return err
	case p.ddb:
		return fmt.Errorf("%w: extent after the disk data base", ErrUnsupported)
	case p.blank:
		return fmt.Errorf("%w: extent after an empty line: QEMU counts it twice", ErrUnsupported)
	case l.Sectors > math.MaxInt64/SectorSize-p.sectors:
		return fmt.Errorf("%w: the disk is larger than 8 EiB", ErrCorrupt)
	}
	p.sectors += l.Sectors
	p.d.Lines = append(p.d.Lines, l)
	return nil
}

func parseLine(line string) (l Line, err error) {
	head, rest, _ := strings.Cut(line, `"`)
	name, tail, closed := strings.Cut(rest, `"`)
	words := strings.Split(head, " ")
	switch {
	case words[0] != "RW":
		return l, fmt.Errorf("%w: %s extent, which QEMU leaves out", ErrUnsupported, words[0])
	case len(words) > 2 && words[2] == "ZERO":
		return l, fmt.Errorf("%w: ZERO extent, which QEMU leaves out", ErrUnsupported)
	case len(words) > 2 && words[2] != typeFlat && words[2] != typeSparse:
		return l, fmt.Errorf("%w: extent of type %.40q", ErrUnsupported, words[2])
	case len(words) != 4 || words[3] != "" || !closed:
		return l, fmt.Errorf("%w: %.80q is not an extent such as RW 16 FLAT \"name\" 0", ErrCorrupt, line)
	}
	l = Line{Type: words[2], Name: name}
	if l.Sectors, err = parseNumber(words[1]); err != nil {
		return l, err
	}
	if l.Type == typeFlat {
		offset, ok := strings.CutPrefix(tail, " ")
		if !ok {
			return l, fmt.Errorf("%w: extent %.40q has no offset", ErrUnsupported, name)
		}
		if l.Offset, err = parseNumber(offset); err != nil {
			return l, err
		}
		tail = ""
	}
	switch {
	case tail != "":
		return l, fmt.Errorf("%w: %.40q after the extent", ErrCorrupt, tail)
	case l.Sectors == 0:
		return l, fmt.Errorf("%w: extent of no sectors", ErrCorrupt)
	case l.Sectors > math.MaxInt64/SectorSize-l.Offset:
		return l, fmt.Errorf("%w: extent beyond 8 EiB", ErrCorrupt)
	}
	return l, checkName(name)
}

// parseNumber reads a number of sectors, without a sign or leading zeros.
func parseNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/SectorSize || strconv.FormatInt(n, 10) != s {
		return 0, fmt.Errorf("%w: %.40q is not a number of sectors", ErrCorrupt, s)
	}
	return n, nil
}

// parseDDB checks the form of a line such as ddb.key = "value". Its content is not needed.
func parseDDB(line string) error {
	_, value, ok := strings.Cut(line, " = ")
	if _, quoted := unquote(value); !ok || !quoted {
		return fmt.Errorf("%w: %.40q is not ddb.key = \"value\"", ErrCorrupt, line)
	}
	return nil
}

func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' || strings.Contains(s[1:len(s)-1], `"`) {
		return "", false
	}
	return s[1 : len(s)-1], true
}

// finish checks that nothing is missing, and returns the descriptor.
func (p *parser) finish() (*Descriptor, error) {
	for _, key := range []string{"version", "CID", "parentCID", "createType"} {
		if p.keys[key] == "" {
			return nil, fmt.Errorf("%w: descriptor without %s", ErrCorrupt, key)
		}
	}
	if len(p.d.Lines) == 0 {
		return nil, fmt.Errorf("%w: descriptor without extents, at which QEMU crashes", ErrCorrupt)
	}
	stream := p.d.CreateType == createStream
	for _, l := range p.d.Lines {
		if (l.Type == typeSparse) != stream || stream && len(p.d.Lines) > 1 {
			return nil, fmt.Errorf("%w: %s extents in %s", ErrUnsupported, l.Type, p.d.CreateType)
		}
	}
	return &p.d, nil
}
