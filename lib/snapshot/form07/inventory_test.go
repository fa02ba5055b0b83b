package form07

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
)

// readInventory reads an inventory that msb 0.7.2 wrote.
func readInventory(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "archive-"+name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestInventoryOfMsb(t *testing.T) {
	for _, name := range []string{"sparse", "image", "named"} {
		data := readInventory(t, name)
		v, err := DecodeInventory(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if have := string(v.Encode()); have != string(data) {
			t.Errorf("%s: have %s", name, have)
		}
	}
	v, err := DecodeInventory(readInventory(t, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	e := v.Entries[0]
	if len(e.Runs) != 3 || e.Runs[2] != (archive.Run{Off: 200704}) || e.Encoded != 8192 || e.Apparent != 200704 || e.Owner != v.Head {
		t.Errorf("%+v", e)
	}
	// The name that msb suggests for a snapshot without one is its identifier.
	if names, err := v.Names(); err != nil || len(names) != 0 || v.SuggestedName != v.Head {
		t.Errorf("%v, %v", names, err)
	}
}

func TestInventoryNames(t *testing.T) {
	data := readInventory(t, "named")
	v, err := DecodeInventory(data)
	if err != nil {
		t.Fatal(err)
	}
	names, err := v.Names()
	if err != nil || len(names) != 2 || names[v.Head] != "n2" {
		t.Fatal(names, err)
	}
	v.SuggestedName, v.Extensions = "", nil
	v.SetNames(names)
	if have := string(v.Encode()); have != string(data) {
		t.Errorf("have %s", have)
	}
	v.SetNames(nil)
	if have := string(v.Encode()); strings.Contains(have, "suggested_name") || !strings.Contains(have, `"extensions":{}`) {
		t.Errorf("have %s", have)
	}
}

func TestInventoryRefuses(t *testing.T) {
	sparse, named, image := string(readInventory(t, "sparse")), string(readInventory(t, "named")), string(readInventory(t, "image"))
	replace := func(s, from, to string) string {
		t.Helper()
		if !strings.Contains(s, from) {
			t.Fatalf("%s is not there", from)
		}
		return strings.Replace(s, from, to, 1)
	}
	for name, c := range map[string]struct {
		data, said string
		is         error
	}{
		"dependent":          {string(readInventory(t, "dependent")), "leaves out layers", fault.ErrUnsupported},
		"completeness":       {replace(sparse, "boot-complete", "maybe"), `"maybe"`, fault.ErrUnsupported},
		"schema":             {replace(sparse, "archive/1", "archive/2"), "archive/2", fault.ErrUnsupported},
		"white space":        {sparse + "\n", "canonical", fault.ErrCorrupt},
		"null name":          {replace(sparse, `"suggested_name":"snap_a0a51421682c11f0549b615ccac9926f"`, `"suggested_name":null`), "suggested_name", fault.ErrCorrupt},
		"empty name":         {replace(sparse, `"suggested_name":"snap_a0a51421682c11f0549b615ccac9926f"`, `"suggested_name":""`), "suggested_name: is empty", fault.ErrCorrupt},
		"name with slash":    {replace(sparse, `"suggested_name":"snap_a0a51421682c11f0549b615ccac9926f"`, `"suggested_name":"a/b"`), "suggested_name", fault.ErrCorrupt},
		"descriptor path":    {replace(sparse, `"descriptor_path":"snapshots/snap_a0`, `"descriptor_path":"snapshots/snap_b0`), "descriptor_path", fault.ErrUnsupported},
		"descriptor digest":  {replace(sparse, `"descriptor_digest":"sha256:f4`, `"descriptor_digest":"sha256:04`), "integrity is not the digest", fault.ErrCorrupt},
		"no limits":          {replace(sparse, `"limits":{"entry_count":3,"encoded_bytes":9206,"apparent_bytes":201718},`, ""), `"limits" is missing`, fault.ErrCorrupt},
		"limits":             {replace(sparse, `"encoded_bytes":9206`, `"encoded_bytes":9207`), "limits", fault.ErrCorrupt},
		"no ranges":          {replace(sparse, `"sparse_ranges":[],`, ""), `"sparse_ranges" is missing`, fault.ErrCorrupt},
		"range of three":     {replace(sparse, "[0,4096]", "[0,4096,1]"), "3 items", fault.ErrCorrupt},
		"range not numbers":  {replace(sparse, "[0,4096]", `["0",4096]`), "not a number", fault.ErrCorrupt},
		"ranges of labels":   {replace(sparse, `"apparent_size":83,"sparse_ranges":[]`, `"apparent_size":83,"sparse_ranges":[[0,83]]`), "not a disk", fault.ErrCorrupt},
		"left out":           {replace(sparse, `"included":true`, `"included":false`), "leaves nothing out", fault.ErrCorrupt},
		"no hash":            {replace(sparse, `,"transport_integrity":{"algorithm":"msb-archive-member-blake3-v1","digest":"blake3:5e4de4c3e7a351ef7d1548f01840bc3ca00258292fcca437ceee107391e90266"}`, ""), "transport_integrity is missing", fault.ErrCorrupt},
		"requires":           {replace(sparse, `"requires":["msb-archive-member-blake3-v1"]`, `"requires":["x"]`), `requires ["x"]`, fault.ErrUnsupported},
		"owner null":         {replace(sparse, `"owner_snapshot":"snap_a0a51421682c11f0549b615ccac9926f","kind":"file-payload"`, `"owner_snapshot":null,"kind":"file-payload"`), "owner_snapshot is not in", fault.ErrCorrupt},
		"owner of labels":    {replace(sparse, `"owner_snapshot":"snap_a0a51421682c11f0549b615ccac9926f","kind":"snapshot-metadata"`, `"owner_snapshot":null,"kind":"snapshot-metadata"`), "owner_snapshot is not that", fault.ErrCorrupt},
		"kind":               {replace(sparse, `"kind":"file-payload"`, `"kind":"image-object"`), `kind "image-object"`, fault.ErrCorrupt},
		"path":               {replace(sparse, `"path":"layers/layer_`, `"path":"layers/../layer_`), "not a path", fault.ErrCorrupt},
		"order of entries":   {replace(image, "images/fsmeta/sha256_d0", "images/layers/sha256_d0"), "not ascending", fault.ErrCorrupt},
		"order of snapshots": {strings.ReplaceAll(named, strings.Repeat("1", 32), strings.Repeat("3", 32)), "not ascending", fault.ErrCorrupt},
		"foreign labels":     {strings.ReplaceAll(image, `"kind":"image-metadata"`, `"kind":"snapshot-metadata"`), "kind", fault.ErrCorrupt},
		"name of nobody":     {replace(named, `"snap_11111111111111111111111111111111":"n1"`, `"snap_10000000000000000000000000000000":"n1"`), "not in the archive", fault.ErrCorrupt},
		"bad member name":    {replace(named, `:"n1"`, `:"a/b"`), `"a/b"`, fault.ErrCorrupt},
		"too long":           {replace(sparse, `"extensions":{}`, `"extensions":{"x":"`+strings.Repeat("y", MaxInventory)+`"}`), "4194304", fault.ErrUnsupported},
	} {
		switch _, err := DecodeInventory([]byte(c.data)); {
		case err == nil:
			t.Errorf("%s: accepted", name)
		case !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.said):
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzInventory(f *testing.F) {
	for _, name := range []string{"sparse", "image", "named"} {
		data := readInventory(f, name)
		if _, err := DecodeInventory(data); err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if v, err := DecodeInventory(data); err == nil && string(v.Encode()) != string(data) {
			t.Fatalf("%q", data)
		}
	})
}
