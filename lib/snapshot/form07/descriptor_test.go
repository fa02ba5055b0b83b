package form07

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

func manifest() digest.Digest {
	return digest.NewDigestFromEncoded(digest.SHA256, strings.Repeat("a", 64))
}

func str(s string) *string { return &s }

// old is the descriptor of 425 bytes whose form 0.7 msb was seen to write.
func old() *form06.Descriptor {
	return &form06.Descriptor{
		Scope: form06.ScopeDisk, CreatedAt: "2026-05-01T12:00:00Z", Source: str("build-1"),
		Image: form06.Image{Ref: "docker.io/library/python:3.12", Manifest: manifest()},
		File:  &form06.File{Format: Raw, FSType: "ext4", Name: "upper.ext4", Size: 5},
	}
}

const golden = `{"capture":{"consistency":"crash-consistent","created_at":"2026-05-01T12:00:00.000000000Z","source_checkpoint":null,"source_lineage":"build-1"},` +
	`"extensions":{},"image":{"manifest_digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","reference":"docker.io/library/python:3.12"},` +
	`"parent":null,"requires":[],"root_disk":{"layout":"managed"},"schema":"microsandbox.snapshot/1","scope":"file","snapshot_id":"snap_64f1bbb4eac86550840755558342788a",` +
	`"state":{"disk_format":"raw","filesystem":"ext4","head":"layer_9be186613e102535744a37e693f9d7f1","kind":"file","layers":[{"backing":null,"format":"raw",` +
	`"layer_id":"layer_9be186613e102535744a37e693f9d7f1","payload":{"file_kind":"regular","integrity":null},"virtual_size":5}],"virtual_size":5}}`

func TestConvertGolden(t *testing.T) {
	d, labels, err := Convert(old())
	if err != nil || len(labels) != 0 {
		t.Fatal(err, labels)
	}
	if have := string(d.Encode()); have != golden || len(have) != 763 {
		t.Errorf("have %s", have)
	}
	if have := d.Digest().String(); have != "sha256:ca92c4712431f60a26ed480b87840be0ab14441b82bc5ac060e00dfdaa2f48b2" {
		t.Error(have)
	}
	if disks := d.Info(nil).Disks; len(disks) != 1 || disks[0].Name != "layers/layer_9be186613e102535744a37e693f9d7f1.raw" || disks[0].Size != 5 {
		t.Errorf("%+v", disks)
	}
}

// What msb 0.7.2 made of a descriptor with all that schema 1 may have.
func TestConvertAll(t *testing.T) {
	o := old()
	o.Parent = digest.FromString("parent")
	o.Labels = map[string]string{"a": "<é>", "stage": "ready"}
	o.CreatedAt = "2026-05-01T12:00:00.12Z"
	o.Source = nil
	o.File.Integrity = &integrity.Sum{Algorithm: integrity.Merkle, Size: 5, Digest: "blake3:733a84a145df6c2139c33096e7584c1d8f42b0b981ec7e847b1bf6db73bec941"}
	d, labels, err := Convert(o)
	if err != nil {
		t.Fatal(err)
	}
	if d.Parent != "snap_"+o.Parent.Encoded()[:32] || labels["a"] != "<é>" || d.Capture.CreatedAt != "2026-05-01T12:00:00.120000000Z" || d.Capture.Lineage != nil {
		t.Errorf("%+v %v", d, labels)
	}
	if want := `"integrity":{"algorithm":"msb-file-merkle-blake3-v1","leaf_size":65536,"logical_size":5,"root":"blake3:733a`; !strings.Contains(string(d.Encode()), want) {
		t.Errorf("%s", d.Encode())
	}
	o.File, o.Checkpoint = nil, &form06.Checkpoint{ID: "x", Manifest: manifest()}
	if _, _, err := Convert(o); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("checkpoint: %v", err)
	}
}

func TestConvertRefuses(t *testing.T) {
	v, err := strictjson.Parse([]byte(`{"n":9007199254740992}`))
	if err != nil {
		t.Fatal(err)
	}
	o := old()
	o.Extensions = map[string]*strictjson.Value{"x": v}
	if _, _, err := Convert(o); err == nil || !strings.Contains(err.Error(), "9007199254740992") {
		t.Errorf("a number without a form: %v", err)
	}
	o = old()
	o.Image.Ref = strings.Repeat("r", MaxDescriptor)
	if _, _, err := Convert(o); err == nil || !strings.Contains(err.Error(), "1048576") {
		t.Errorf("a long descriptor: %v", err)
	}
}

func TestDecodeSpellings(t *testing.T) {
	for name, data := range map[string]string{
		"canonical":   golden,
		"white space": strings.ReplaceAll(golden, ":{", " : {\n") + "\n",
		"other order": `{"schema":"microsandbox.snapshot/1",` + strings.TrimPrefix(strings.Replace(golden, `"schema":"microsandbox.snapshot/1",`, "", 1), "{"),
		"short time":  strings.Replace(golden, ".000000000Z", "Z", 1),
		"zone":        strings.Replace(golden, "12:00:00.000000000Z", "14:00:00.0+02:00", 1),
		"no layout":   strings.Replace(golden, `"root_disk":{"layout":"managed"},`, "", 1),
	} {
		d, err := Decode([]byte(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if string(d.Encode()) != golden {
			t.Errorf("%s: %s", name, d.Encode())
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	layer := func(id, format, backing string) string {
		return fmt.Sprintf(`{"backing":%s,"format":"%s","layer_id":"layer_%s","payload":{"file_kind":"regular","integrity":null},"virtual_size":5}`, backing, format, strings.Repeat(id, 32))
	}
	layers := func(head, format string, layers ...string) string {
		from := strings.Index(golden, `"layers":[`)
		s := golden[:from] + `"layers":[` + strings.Join(layers, ",") + `],"virtual_size":5}}`
		s = strings.Replace(s, "layer_9be186613e102535744a37e693f9d7f1", "layer_"+strings.Repeat(head, 32), 1)
		return strings.Replace(s, `"disk_format":"raw"`, `"disk_format":"`+format+`"`, 1)
	}
	base, quoted := layer("1", "raw", "null"), `"layer_`+strings.Repeat("1", 32)+`"`
	if _, err := Decode([]byte(layers("1", "raw", base))); err != nil {
		t.Fatal(err)
	}
	replace := func(from, to string) string {
		if !strings.Contains(golden, from) {
			t.Fatalf("%s is not there", from)
		}
		return strings.Replace(golden, from, to, 1)
	}
	for name, c := range map[string]struct {
		data, said string
		is         error
	}{
		"schema":           {replace("snapshot/1", "snapshot/2"), `is "microsandbox.snapshot/2", not`, fault.ErrUnsupported},
		"schema 1":         {replace(`"microsandbox.snapshot/1"`, "1"), "not a string", fault.ErrCorrupt},
		"unknown key":      {replace(`"parent":`, `"more":1,"parent":`), `unknown key "more"`, fault.ErrCorrupt},
		"unknown in layer": {replace(`"backing":`, `"more":1,"backing":`), `unknown key "more"`, fault.ErrCorrupt},
		"missing key":      {replace(`"parent":null,`, ""), `"parent" is missing`, fault.ErrCorrupt},
		"missing lineage":  {replace(`,"source_lineage":"build-1"`, ""), `"source_lineage" is missing`, fault.ErrCorrupt},
		"twice":            {replace(`"parent":null`, `"parent":null,"parent":null`), "twice", fault.ErrCorrupt},
		"snapshot id":      {replace("snap_64f1", "snap_64F1"), "snapshot_id", fault.ErrCorrupt},
		"old parent":       {replace(`"parent":null`, `"parent":"sha256:`+strings.Repeat("a", 64)+`"`), "parent", fault.ErrCorrupt},
		"own parent":       {replace(`"parent":null`, `"parent":"snap_64f1bbb4eac86550840755558342788a"`), "own parent", fault.ErrCorrupt},
		"consistency":      {replace("crash-consistent", "clean"), `"clean" is not known`, fault.ErrUnsupported},
		"time":             {replace("2026-05-01T", "yesterday"), "created_at", fault.ErrCorrupt},
		"no reference":     {replace("docker.io/library/python:3.12", ""), "reference is empty", fault.ErrCorrupt},
		"manifest":         {replace("sha256:aa", "sha256:AA"), "manifest_digest", fault.ErrCorrupt},
		"layout":           {replace("managed", "tmpfs"), `"tmpfs"`, fault.ErrUnsupported},
		"memory":           {replace(`"scope":"file"`, `"scope":"checkpoint"`), "memory", fault.ErrUnsupported},
		"memory state":     {replace(`"kind":"file"`, `"kind":"checkpoint"`), "memory", fault.ErrUnsupported},
		"filesystem":       {replace(`"filesystem":"ext4"`, `"filesystem":""`), "filesystem is empty", fault.ErrCorrupt},
		"file kind":        {replace(`"regular"`, `"block"`), `"block"`, fault.ErrUnsupported},
		"format":           {replace(`"format":"raw"`, `"format":"vmdk"`), "disk_format", fault.ErrCorrupt},
		"both formats":     {strings.ReplaceAll(golden, `format":"raw"`, `format":"vmdk"`), `"vmdk"`, fault.ErrUnsupported},
		"size":             {strings.ReplaceAll(golden, `"virtual_size":5`, `"virtual_size":9007199254740992`), "9007199254740992", fault.ErrCorrupt},
		"size of head":     {replace(`"virtual_size":5}}`, `"virtual_size":6}}`), "virtual_size: is not that of the last layer", fault.ErrCorrupt},
		"leaf size":        {replace(`"integrity":null`, `"integrity":{"algorithm":"msb-file-merkle-blake3-v1","leaf_size":4096,"logical_size":5,"root":"blake3:`+strings.Repeat("0", 64)+`"}`), "leaf_size", fault.ErrCorrupt},
		"integrity size":   {replace(`"integrity":null`, `"integrity":{"algorithm":"msb-file-merkle-blake3-v1","leaf_size":65536,"logical_size":6,"root":"blake3:`+strings.Repeat("0", 64)+`"}`), "logical_size", fault.ErrCorrupt},
		"algorithm":        {replace(`"integrity":null`, `"integrity":{"algorithm":"x","digest":"y"}`), `"x"`, fault.ErrUnsupported},
		"requires":         {replace(`"requires":[]`, `"requires":["x"]`), `"x"`, fault.ErrCorrupt},
		"requires order":   {replace(`"extensions":{}`, `"extensions":{"a":1,"b":1}`), "", nil},
		"float":            {replace(`"extensions":{}`, `"extensions":{"a":1.5}`), "1.5", fault.ErrUnsupported},
		"nested":           {replace(`"extensions":{}`, `"extensions":{"a":`+strings.Repeat("[", 65)+strings.Repeat("]", 65)+`}`), "nested deeper than 64", fault.ErrUnsupported},
		"no layers":        {layers("9", "raw"), "0 layers", fault.ErrCorrupt},
		"raw on raw":       {layers("2", "raw", base, layer("2", "raw", quoted)), "a raw layer upon another one", fault.ErrCorrupt},
		"base with back":   {layers("1", "raw", layer("1", "raw", quoted)), "not the layer before", fault.ErrCorrupt},
		"no backing":       {layers("2", "qcow2", base, layer("2", "qcow2", "null")), "not the layer before", fault.ErrCorrupt},
		"head is base":     {layers("1", "qcow2", base, layer("2", "qcow2", quoted)), "head: is not that of the last layer", fault.ErrCorrupt},
		"layer twice":      {layers("1", "qcow2", base, layer("1", "qcow2", quoted)), "there twice", fault.ErrCorrupt},
		"layer id":         {layers("x", "raw", layer("x", "raw", "null")), "layer_id", fault.ErrCorrupt},
		"too long":         {strings.Repeat(" ", MaxDescriptor) + golden, "longer than", fault.ErrUnsupported},
		"truncated":        {golden[:700], "", fault.ErrCorrupt},
	} {
		if name == "requires order" {
			c.data = strings.Replace(c.data, `"requires":[]`, `"requires":["b","a"]`, 1)
			c.said, c.is = "not ascending", fault.ErrCorrupt
		}
		switch _, err := Decode([]byte(c.data)); {
		case err == nil:
			t.Errorf("%s: accepted", name)
		case !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.said):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A chain is read, and has as many disks as layers.
func TestChain(t *testing.T) {
	d, _, err := Convert(old())
	if err != nil {
		t.Fatal(err)
	}
	top := Layer{ID: "layer_" + strings.Repeat("2", 32), Format: Qcow2, Size: 5,
		Integrity: &integrity.Sum{Algorithm: integrity.Merkle, Size: 196616, Digest: "blake3:" + strings.Repeat("0", 64)}}
	d.Layers = append(d.Layers, top)
	again, err := Decode(d.Encode())
	if err != nil {
		t.Fatal(err)
	}
	disks := again.Info(nil).Disks
	if len(disks) != 2 || disks[0].Format != Raw || disks[1].Format != Qcow2 || disks[1].Size != 196616 {
		t.Errorf("chain: %+v", disks)
	}
	top.Integrity = nil
	d.Layers = []Layer{top}
	if again, err = Decode(d.Encode()); err != nil {
		t.Fatal(err)
	}
	if disks := again.Info(nil).Disks; len(disks) != 1 || disks[0].Size != form.UnknownSize {
		t.Errorf("one layer of qcow2: %+v", disks)
	}
}

func TestTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-05-01T12:00:00Z":                 "2026-05-01T12:00:00.000000000Z",
		"2026-05-01t14:00:00.1234567891+02:00": "2026-05-01T12:00:00.123456789Z",
	} {
		if have, err := Time(in); err != nil || have != want {
			t.Errorf("%s: %s, %v", in, have, err)
		}
	}
	if _, err := Time("2026-05-01"); err == nil {
		t.Error("a date is no time")
	}
	if have := FormatTime(time.Unix(1, 5)); have != "1970-01-01T00:00:01.000000005Z" {
		t.Error(have)
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "A0._-x": true, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false,
		"": false, ".a": false, "-a": false, "a.": false, "a b": false, "é": false, "a/b": false, "..": false, "snap_x": false, "snapx": true,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	s, l := "snap_"+strings.Repeat("1", 32), "layer_"+strings.Repeat("2", 32)
	for path, want := range map[string]Name{
		"archive.json":                      {},
		"snapshots/" + s + "/snapshot.json": {Kind: KindDescriptor, Snapshot: s},
		"snapshots/" + s + "/metadata.json": {Kind: KindLabels, Snapshot: s},
		"layers/" + l + ".raw":              {Kind: KindPayload, Layer: l, Format: Raw},
		"layers/" + l + ".qcow2":            {Kind: KindPayload, Layer: l, Format: Qcow2},
		"images/manifests/x.json":           {Kind: form06.KindMetadata},
		"images/fsmeta/x.erofs":             {Kind: form06.KindObject},
	} {
		if have, err := ParseName(path); err != nil || have != want {
			t.Errorf("%s: %+v, %v", path, have, err)
		}
	}
	for _, path := range []string{"", "README", "./archive.json", "archive.json/x", "/archive.json", "snapshots/" + s, "snapshots/" + s + "/x", "snapshots/../snapshot.json",
		"snapshots/" + s + "x/snapshot.json", "layers/" + l, "layers/" + l + ".vmdk", "layers/../x.raw", "layers/" + l + ".raw/x", "files/x/y", "images/x/y", "images/layers/../x.erofs",
		"snapshots/" + strings.Repeat("a", 64) + "/snapshot.json"} {
		if have, err := ParseName(path); err == nil {
			t.Errorf("%s: %+v", path, have)
		}
	}
	for path, ok := range map[string]bool{"snapshots": true, "snapshots/" + s: true, "layers": true, "images": true, "images/layers": true,
		"snapshots/x": false, "layers/x": false, "files": false, "x": false, "": false, "..": false, "images/..": false} {
		if err := CheckDir(path); (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestGroupFiles(t *testing.T) {
	s := "snap_" + strings.Repeat("1", 32)
	if have := string(EncodeGroup(s)); have != `{"schema":"microsandbox.snapshot-group/1","head":"`+s+`"}` {
		t.Error(have)
	}
	if have, err := DecodeGroup(EncodeGroup(s)); have != s || err != nil {
		t.Error(have, err)
	}
	if have := string(EncodeMember("base")); have != `{"schema":"microsandbox.snapshot-group-member/1","name":"base"}` {
		t.Error(have)
	}
	if have, err := DecodeMember(EncodeMember("base")); have != "base" || err != nil {
		t.Error(have, err)
	}
	data, err := EncodeLabels(map[string]string{"stage": "ready", "a": "<é>"})
	if err != nil || string(data) != `{"schema":"microsandbox.snapshot-metadata/1","labels":{"a":"<é>","stage":"ready"}}` {
		t.Errorf("%s, %v", data, err)
	}
	if have, err := DecodeLabels(append([]byte(" "), data...)); err != nil || len(have) != 2 || have["a"] != "<é>" {
		t.Error(have, err)
	}
	if _, err := EncodeLabels(map[string]string{"": strings.Repeat("x", MaxLabels)}); !errors.Is(err, fault.ErrUnsupported) {
		t.Error(err)
	}
	for name, decode := range map[string]func() error{
		"head":   func() error { _, err := DecodeGroup(EncodeGroup("snap_x")); return err },
		"schema": func() error { _, err := DecodeGroup(EncodeMember(s)); return err },
		"name":   func() error { _, err := DecodeMember(EncodeMember("a/b")); return err },
		"labels": func() error {
			_, err := DecodeLabels([]byte(strings.Replace(string(data), `"ready"`, "1", 1)))
			return err
		},
		"version": func() error { _, err := DecodeLabels([]byte(strings.Replace(string(data), "/1", "/2", 1))); return err },
		"unknown key": func() error {
			_, err := DecodeLabels([]byte(strings.Replace(string(data), "{", `{"x":1,`, 1)))
			return err
		},
		"long": func() error { _, err := DecodeLabels(make([]byte, MaxLabels+1)); return err },
		"cut":  func() error { _, err := DecodeLabels(data[:30]); return err },
	} {
		if err := decode(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(golden))
	if _, err := Decode([]byte(golden)); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Decode(data)
		if err != nil {
			return
		}
		canonical := d.Encode()
		again, err := Decode(canonical)
		if err != nil || string(again.Encode()) != string(canonical) {
			t.Fatalf("%q: %v", data, err)
		}
	})
}
