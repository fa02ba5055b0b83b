package patch

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// maxMarks is how many bytes there may be in YAML that begin or end values, in texts too:
// the library takes some 400 bytes for each value, and counts none.
const maxMarks = 1 << 18

// checkMarks is an error if data may have too many values.
func checkMarks(data []byte) error {
	marks := 0
	for _, mark := range []byte("[]{},:-?") {
		marks += bytes.Count(data, []byte{mark})
	}
	if marks > maxMarks {
		return fmt.Errorf("YAML with more than %d of the characters []{},:-? in one file: JSON may have more", maxMarks)
	}
	return nil
}

// parseYAML reads one document of YAML that is no more than JSON in another spelling:
// without anchors, aliases, tags and keys to be merged.
func parseYAML(data []byte) (*value, error) {
	if err := checkMarks(data); err != nil {
		return nil, err
	}
	if err := checkCharacters(data); err != nil {
		return nil, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case err == io.EOF:
		return nil, errors.New("there is nothing in it")
	case err != nil:
		return nil, yamlFault(data, err)
	}
	v, err := fromYAML(doc.Content[0], 0)
	if err != nil {
		return nil, err
	}
	switch err := dec.Decode(&more); {
	case err == io.EOF:
		return v, nil
	case err != nil:
		return nil, yamlFault(data, err)
	}
	return nil, at(position{more.Line, more.Column}, "more than one document")
}

func fromYAML(n *yaml.Node, depth int) (*value, error) {
	v := &value{pos: position{n.Line, n.Column}, text: n.Value}
	switch {
	case n.Kind == yaml.AliasNode:
		return nil, at(v.pos, "aliases are not supported")
	case n.Anchor != "":
		return nil, at(v.pos, "anchors are not supported")
	case n.Style&yaml.TaggedStyle != 0:
		return nil, at(v.pos, "tags are not supported")
	case depth > maxNesting:
		return nil, at(v.pos, "%w", errNesting)
	}
	switch n.Kind {
	case yaml.SequenceNode:
		v.kind = isList
		return v, v.listYAML(n, depth)
	case yaml.MappingNode:
		v.kind = isObject
		return v, v.objectYAML(n, depth)
	}
	return v, v.scalarYAML(n)
}

func (v *value) scalarYAML(n *yaml.Node) error {
	switch tag := n.ShortTag(); tag {
	case "!!null":
		v.kind = isNull
	case "!!bool":
		v.kind = isBool
	case "!!int", "!!float":
		v.kind = isNumber
	case "!!str":
		v.kind = isString
	case "!!timestamp":
		return at(v.pos, "%q is a time to YAML: put it in quotes", short(n.Value))
	default:
		return at(v.pos, "%q is %s to YAML: put it in quotes", short(n.Value), tag)
	}
	return nil
}

func (v *value) listYAML(n *yaml.Node, depth int) error {
	for _, c := range n.Content {
		item, err := fromYAML(c, depth+1)
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
	return nil
}

func (v *value) objectYAML(n *yaml.Node, depth int) error {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, err := fromYAML(n.Content[i], depth+1)
		if err != nil {
			return err
		}
		if key.kind != isString {
			return at(key.pos, "a key is %s, not a string", key.kind)
		}
		item, err := fromYAML(n.Content[i+1], depth+1)
		if err != nil {
			return err
		}
		if err := v.add(field{key.text, key.pos, item}); err != nil {
			return err
		}
	}
	return nil
}
