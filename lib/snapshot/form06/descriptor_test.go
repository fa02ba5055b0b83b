package form06

import (
	"errors"
	"strings"
	"testing"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

var (
	as = "sha256:" + strings.Repeat("a", 64)
	bs = "sha256:" + strings.Repeat("b", 64)
)

func golden() *Descriptor {
	source := "build-1"
	return &Descriptor{
		Scope: ScopeDisk, CreatedAt: "2026-05-01T12:00:00Z", Source: &source,
		Image: Image{"docker.io/library/python:3.12", "sha256:" + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		File: &File{Format: Raw, FSType: "ext4", Name: "upper.ext4", Size: 4294967296,
			Integrity: &integrity.Sum{Algorithm: integrity.SparseSHA256, Digest: bs, Size: 4294967296}},
		Labels: map[string]string{"stage": "post-pip-install", "owner": "alice"},
	}
}

// The identities are those that msb 0.6.14 computes.
func TestIdentity(t *testing.T) {
	small := golden()
	small.File.Size, small.File.Integrity, small.Labels = 5, nil, nil
	for _, c := range []struct {
		d      *Descriptor
		length int
		id     string
	}{
		{golden(), 591, "sha256:5b9ca7611f40ec61fea70c1b1ac9881ed63a16091922682028222cdaef997572"},
		{small, 425, "sha256:64f1bbb4eac86550840755558342788a9be186613e102535744a37e693f9d7f1"},
	} {
		b := c.d.Encode()
		if len(b) != c.length || c.d.ID().String() != c.id {
			t.Errorf("%d bytes, %s: %s", len(b), c.d.ID(), b)
		}
		again, err := Decode(b)
		if err != nil || again.ID() != c.d.ID() {
			t.Errorf("decoded: %v, %v", again, err)
		}
	}
}

// A descriptor has one identity, however it is spelled.
func TestSpelling(t *testing.T) {
	d := golden()
	d.Extensions = map[string]*strictjson.Value{"z": strictjson.List(strictjson.Int(1)), "a": strictjson.Map().Set("y", strictjson.Flag(true)).Set("x", strictjson.Text(nil))}
	d.Requires = []string{"a", "z"}
	d.Parent = "sha256:" + "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
	d.File.Integrity = &integrity.Sum{Algorithm: integrity.Merkle, Digest: "blake3:" + strings.Repeat("d", 64), Size: d.File.Size}
	text := string(d.Encode())
	for _, c := range [][2]string{
		{`"schema":1,"artifact":"snapshot"`, "\n \"artifact\" : \"snapshot\" , \"schema\": 1"},
		{`"labels":{"owner":"alice","stage":"post-pip-install"}`, `"labels":{"stage":"post-pip-install","own\u0065r":"alice"}`},
		{`"2026-05-01T12:00:00Z"`, `"2026-05-01 14:00:00.000+02:00"`},
		{`"/library`, `"\/library`},
	} {
		other := strings.Replace(text, c[0], c[1], 1)
		again, err := Decode([]byte(other + "\n"))
		if err != nil || again.ID() != d.ID() {
			t.Errorf("%s: %v, %v", other, again, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	text := string(golden().Encode())
	checkpoint := `"state":{"kind":"checkpoint","checkpoint_id":"x","manifest":"` + as + `"}`
	file := text[strings.Index(text, `"state"`):strings.Index(text, `,"labels"`)]
	if _, err := Decode([]byte(strings.Replace(text, file, checkpoint, 1))); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		from, to, said string
		is             error
	}{
		{`"schema":1`, `"schema":2`, "schema 2 is not 1", fault.ErrUnsupported},
		{`"schema":1`, `"schema":"1"`, "schema 1 is not 1", fault.ErrUnsupported},
		{`"schema":1,`, ``, `key "schema" is missing`, fault.ErrCorrupt},
		{`"snapshot"`, `"picture"`, `artifact: is "picture"`, fault.ErrUnsupported},
		{`"disk"`, `"tape"`, `scope "tape"`, fault.ErrUnsupported},
		{`"disk"`, `"resumable"`, "scope resumable with a state of kind file", fault.ErrCorrupt},
		{`"2026-05-01T12:00:00Z"`, `"today"`, "created_at", fault.ErrCorrupt},
		{`"parent":null`, `"parent":"sha256:1"`, "parent: \"sha256:1\" is not a SHA-256", fault.ErrCorrupt},
		{`"parent":null,`, ``, `key "parent" is missing`, fault.ErrCorrupt},
		{as, strings.ToUpper(as), "image.manifest_digest", fault.ErrCorrupt},
		{as, "sha512:" + strings.Repeat("a", 128), "image.manifest_digest", fault.ErrCorrupt},
		{`docker.io/library/python:3.12`, ``, "image.ref is empty", fault.ErrCorrupt},
		{`"build-1"`, `7`, "source_sandbox: is a number", fault.ErrCorrupt},
		{`"kind":"file"`, `"kind":"tape"`, "state.kind", fault.ErrUnsupported},
		{`"kind":"file",`, ``, `key "kind" is missing`, fault.ErrCorrupt},
		{`"raw"`, `"vmdk"`, `state.format "vmdk"`, fault.ErrUnsupported},
		{`"ext4"`, `""`, "state.fstype is empty", fault.ErrCorrupt},
		{`"upper.ext4"`, `"../x"`, "is not the name of a file", fault.ErrCorrupt},
		{`"upper.ext4"`, `"upper.ext4/"`, "is not the name of a file", fault.ErrCorrupt},
		{`"upper.ext4"`, `"a\\b"`, "is not the name of a file", fault.ErrCorrupt},
		{`"upper.ext4"`, `"\u0000"`, "is not the name of a file", fault.ErrCorrupt},
		{`"upper.ext4"`, `".."`, "is not the name of a file", fault.ErrCorrupt},
		{`"upper.ext4"`, `"snapshot.json"`, "is reserved", fault.ErrCorrupt},
		{`"upper.ext4"`, `"SNAPSHOT.json."`, "is reserved", fault.ErrCorrupt},
		{`"upper.ext4"`, `".snapshot-migration.lock"`, "is reserved", fault.ErrCorrupt},
		{`4294967296`, `9007199254740992`, "size_bytes", fault.ErrCorrupt},
		{`4294967296`, `-1`, "size_bytes", fault.ErrCorrupt},
		{`4294967296`, `"5"`, "size_bytes: is a string", fault.ErrCorrupt},
		{`4294967296`, `5.0`, "not an integer", fault.ErrUnsupported},
		{`"msb-sparse-sha256-v1"`, `"md5"`, "unknown algorithm", fault.ErrUnsupported},
		{`"msb-sparse-sha256-v1"`, `"msb-file-merkle-blake3-v1"`, `unknown key "digest"`, fault.ErrCorrupt},
		{`{"algorithm":"msb-sparse-sha256-v1","digest":"` + bs + `"}`,
			`{"algorithm":"msb-file-merkle-blake3-v1","root":"blake3:` + bs[7:] + `","logical_size":5,"leaf_size":65536}`, "logical_size is 5", fault.ErrCorrupt},
		{`{"algorithm":"msb-sparse-sha256-v1","digest":"` + bs + `"}`,
			`{"algorithm":"msb-file-merkle-blake3-v1","root":"blake3:` + bs[7:] + `","logical_size":4294967296,"leaf_size":4096}`, "leaf_size", fault.ErrCorrupt},
		{bs, "sha256:", "is not a digest", fault.ErrCorrupt},
		{`"owner":"alice"`, `"owner":1`, `labels: "owner": is a number`, fault.ErrCorrupt},
		{`"owner":"alice"`, `"stage":"alice"`, "there twice", fault.ErrCorrupt},
		{`"requires":[]`, `"requires":["a"]`, "not an extension", fault.ErrCorrupt},
		{`"extensions":{},"requires":[]`, `"extensions":{"a":1,"b":2},"requires":["b","a"]`, "not ascending", fault.ErrCorrupt},
		{`"extensions":{},"requires":[]`, `"extensions":{"a":1},"requires":["a","a"]`, "not ascending", fault.ErrCorrupt},
		{`"extensions":{}`, `"extensions":{"a":1.5}`, "not an integer", fault.ErrUnsupported},
		{`"extensions":{}`, `"extensions":{},"x":1`, `unknown key "x"`, fault.ErrCorrupt},
		{`"extensions":{}`, `"extensions":{"a":{"b":1,"\u0062":2}}`, "there twice", fault.ErrCorrupt},
		{`"kind":"file"`, `"kind":"file","x":1`, `state: unknown key "x"`, fault.ErrCorrupt},
		{`"requires":[]}`, `"requires":[]}x`, "follows", fault.ErrCorrupt},
	} {
		other := strings.Replace(text, c.from, c.to, 1)
		if other == text {
			t.Fatalf("%s is not in the descriptor", c.from)
		}
		if _, err := Decode([]byte(other)); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.said) {
			t.Errorf("%s: %v", c.to, err)
		}
	}
	for _, said := range []string{"cut short", "cut short"} {
		if _, err := Decode([]byte(text[:len(text)/2])); err == nil || !strings.Contains(err.Error(), said) {
			t.Error(err)
		}
	}
}

func TestTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-05-01T12:00:00Z":            "2026-05-01T12:00:00Z",
		"2026-05-01t12:00:00z":            "2026-05-01T12:00:00Z",
		"2026-05-01 14:00:00+02:00":       "2026-05-01T12:00:00Z",
		"2026-05-01T12:00:00-00:00":       "2026-05-01T12:00:00Z",
		"2026-05-01T12:00:00.000Z":        "2026-05-01T12:00:00Z",
		"2026-05-01T12:00:00.120Z":        "2026-05-01T12:00:00.12Z",
		"2026-05-01T12:00:00.1234567899Z": "2026-05-01T12:00:00.123456789Z",
		"2026-05-01T12:00:00.0000000009Z": "2026-05-01T12:00:00Z",
		"2024-02-29T23:59:59.5-23:59":     "2024-03-01T23:58:59.5Z",
		"0000-01-01T00:00:00Z":            "0000-01-01T00:00:00Z",
		"":                                "",
		"2026-05-01T12:00:00":             "",
		"2026-05-01T12:00Z":               "",
		"2026-05-01T24:00:00Z":            "",
		"2026-05-01T12:00:60Z":            "",
		"2026-02-29T12:00:00Z":            "",
		"+2026-05-01T12:00:00Z":           "",
		"12026-05-01T12:00:00Z":           "",
		"2026-05-01T12:00:00.Z":           "",
		"2026-05-01T12:00:00+24:00":       "",
		"2026-05-01T12:00:00,5Z":          "",
		"0000-01-01T00:00:00+01:00":       "",
		"9999-12-31T23:59:59-01:00":       "",
		" 2026-05-01T12:00:00Z":           "",
		"2026-05-01T12:00:00Z\n":          "",
	} {
		have, err := Time(in)
		if have != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, have, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	seed := golden()
	seed.Extensions = map[string]*strictjson.Value{"é": strictjson.Map().Set("k", strictjson.Int(7))}
	seed.Requires = []string{"é"}
	for _, b := range [][]byte{seed.Encode(), golden().Encode()} {
		if _, err := Decode(b); err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := Decode(in)
		if err != nil {
			if !errors.Is(err, fault.ErrCorrupt) && !errors.Is(err, fault.ErrUnsupported) {
				t.Fatal(err)
			}
			return
		}
		again, err := Decode(d.Encode())
		if err != nil || again.ID() != d.ID() {
			t.Fatalf("%s: %s: %v", in, d.Encode(), err)
		}
	})
}
