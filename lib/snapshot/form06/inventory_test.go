package form06

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/integrity"
)

func inventory() *Inventory {
	id := golden().ID()
	hash := "blake3:" + strings.Repeat("e", 64)
	return &Inventory{
		Head: id, WithImage: true, Requires: []string{archive.Transport}, Snapshots: []digest.Digest{id},
		Entries: []Entry{
			{Path: PayloadPath(id, "upper.ext4"), Owner: id, Kind: KindPayload, Included: true, Encoded: 7, Apparent: 4294967296, Integrity: golden().File.Integrity, Transport: hash},
			{Path: "images/layers/x.erofs", Kind: KindObject, Included: true, Encoded: 5, Apparent: 5, Integrity: &integrity.Sum{Algorithm: integrity.SHA256, Digest: bs, Size: 5}, Transport: hash},
			{Path: DescriptorPath(id), Owner: id, Kind: KindDescriptor, Included: true, Encoded: 591, Apparent: 591, Integrity: &integrity.Sum{Algorithm: integrity.SHA256, Digest: id.String(), Size: 591}, Transport: hash},
		},
	}
}

func TestInventory(t *testing.T) {
	data := inventory().Encode()
	v, err := DecodeInventory(data)
	if err != nil || !bytes.Equal(v.Encode(), data) || len(v.Entries) != 3 || v.SuggestedName != nil {
		t.Fatalf("%v, %v: %s", v, err, data)
	}
	text := string(data)
	for _, c := range []struct{ from, to, said string }{
		{`"schema":1`, `"schema":2`, "schema"},
		{`"snapshot-archive"`, `"x"`, "artifact"},
		{`"suggested_name":null`, `"suggested_name":""`, "suggested_name"},
		{`"suggested_name":null`, `"suggested_name":"a\\b"`, "suggested_name"},
		{`"suggested_name":null,`, ``, "suggested_name"},
		{`"boot-complete"`, `"partial"`, "completeness"},
		{`"with_image":true`, `"with_image":1`, "with_image"},
		{`"included":true`, `"included":null`, "included"},
		{`"encoded_size":7`, `"encoded_size":-7`, "encoded_size"},
		{`"encoded_size":7`, `"encoded_size":7.0`, "not an integer"},
		{`"file-payload"`, `"image-object"`, "kind"},
		{`"owner_snapshot":null`, `"owner_snapshot":"` + as + `"`, "owner_snapshot"},
		{`"images/layers/x.erofs"`, `"images/layers/../x"`, "not a path"},
		{`"images/layers/x.erofs"`, `"/etc/passwd"`, "ascending"},
		{`"integrity":{"algorithm":"sha256","digest":"` + bs + `"}`, `"integrity":null`, "integrity is not a sha256"},
		{`"requires":["`, `"requires":["x","`, "requires"},
		{`"protection_requirements":[]`, `"protection_requirements":{}`, "protection_requirements"},
		{`"extensions":{}`, `"extensions":[]`, "extensions"},
		{`"extensions":{}`, `"extensions":{"b":1,"a":2}`, "canonical"},
		{`{"schema":1,"artifact":"snapshot-archive"`, `{"artifact":"snapshot-archive","schema":1`, "canonical"},
		{`"schema":1`, `"schema": 1`, "canonical"},
	} {
		other := strings.Replace(text, c.from, c.to, 1)
		if other == text {
			t.Fatalf("%s is not in the inventory", c.from)
		}
		_, err := DecodeInventory([]byte(other))
		if err == nil || !strings.Contains(err.Error(), c.said) || !errors.Is(err, fault.ErrCorrupt) && !errors.Is(err, fault.ErrUnsupported) {
			t.Errorf("%s: %v", c.to, err)
		}
	}
}

func FuzzInventory(f *testing.F) {
	seed := inventory().Encode()
	if _, err := DecodeInventory(seed); err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := DecodeInventory(in)
		if err != nil {
			if !errors.Is(err, fault.ErrCorrupt) && !errors.Is(err, fault.ErrUnsupported) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(v.Encode(), in) {
			t.Fatalf("%s is accepted, and is %s", in, v.Encode())
		}
	})
}
