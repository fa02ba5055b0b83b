package snapshot

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/strictjson"
)

// descriptor06 is one of a disk with the content "hello", without integrity.
func descriptor06() *form06.Descriptor {
	return &form06.Descriptor{
		Scope: form06.ScopeDisk, CreatedAt: "2026-05-01T12:00:00Z", Image: image,
		File: &form06.File{Format: form06.Raw, FSType: "ext4", Name: "upper.ext4", Size: 5},
	}
}

// Descriptors are kept in memory, where they are much larger than in an archive.
func TestManyValues(t *testing.T) {
	var all []*entry
	for i := range 3 {
		list := strictjson.List(strictjson.Int(int64(i)))
		for range 900000 {
			list.Items = append(list.Items, strictjson.Int(0))
		}
		d := descriptor06()
		d.Extensions = map[string]*strictjson.Value{"x": list}
		data := d.Encode()
		all = append(all, &entry{Member: archive.Member{Name: form06.DescriptorPath(d.ID()), Size: int64(len(data))}, data: data})
	}
	_, err := VerifyArchive(t.Context(), bytes.NewReader(archiveOf(t, all...)), ReadOptions{})
	if !errors.Is(err, fault.ErrUnsupported) || !strings.Contains(err.Error(), "values together") {
		t.Error(err)
	}
}
