package form07

import (
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/strictjson"
)

const (
	groupSchema  = "microsandbox.snapshot-group/1"
	memberSchema = "microsandbox.snapshot-group-member/1"
	labelsSchema = "microsandbox.snapshot-metadata/1"

	// MaxLabels is the longest file of labels, in bytes.
	MaxLabels = 1 << 20
)

// EncodeGroup returns the file of a group that stands for the snapshot head.
func EncodeGroup(head string) []byte { return encodeFile(groupSchema, "head", strictjson.Str(head)) }

// DecodeGroup returns the snapshot that a group stands for.
func DecodeGroup(data []byte) (head string, err error) {
	var r reader
	if v := r.file(data, groupSchema, "head"); v != nil {
		head = r.id(v, "head", snapshotPrefix)
	}
	return head, r.Err
}

// EncodeMember returns the file that gives a snapshot a name in its group.
func EncodeMember(name string) []byte { return encodeFile(memberSchema, "name", strictjson.Str(name)) }

// DecodeMember returns the name of a snapshot in its group.
func DecodeMember(data []byte) (name string, err error) {
	var r reader
	if v := r.file(data, memberSchema, "name"); v != nil {
		name = r.Text(v, "name")
		r.Keep(CheckName(name))
	}
	return name, r.Err
}

// EncodeLabels returns the file with the labels of a snapshot.
func EncodeLabels(labels map[string]string) ([]byte, error) {
	v := strictjson.Map()
	for key, value := range labels {
		v.Set(key, strictjson.Str(value))
	}
	data := encodeFile(labelsSchema, "labels", v)
	if len(data) > MaxLabels {
		return nil, fault.Unsupported("the labels have %d bytes, more than %d", len(data), MaxLabels)
	}
	return data, nil
}

// DecodeLabels returns the labels of a snapshot.
func DecodeLabels(data []byte) (map[string]string, error) {
	if len(data) > MaxLabels {
		return nil, fault.Unsupported("longer than %d bytes", MaxLabels)
	}
	var r reader
	labels := map[string]string{}
	if v := r.file(data, labelsSchema, "labels"); v != nil {
		for key, value := range r.Object(v, "labels") {
			labels[key] = r.Text(value, "labels")
		}
	}
	return labels, r.Err
}

func encodeFile(schema, key string, v *strictjson.Value) []byte {
	return strictjson.Append(nil, strictjson.Record().Set("schema", strictjson.Str(schema)).Set(key, v))
}

// file reads a file of a schema and one key, and returns its value.
func (r *reader) file(data []byte, schema, key string) *strictjson.Value {
	v, err := strictjson.Parse(data)
	if r.Keep(err); err != nil {
		return nil
	}
	f := r.Fields(v, "file", "schema", key)
	if f == nil {
		return nil
	}
	r.Is(f[0], "schema", schema)
	return f[1]
}
