package patch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// everyOp has each operation once, with all that it can have.
const everyOp = `{"patches": [
  {"text": {"path": "/a", "content": "x\n", "mode": "4755", "replace": true, "uid": 1, "gid": 4294967294}},
  {"file": {"path": "/b", "content_base64": "AAH/", "mode": null}},
  {"copy_file": {"src": "s", "dst": "//c//d/", "replace": false, "mode": "0000"}},
  {"copy_dir": {"src": "/s", "dst": "/", "uid": 0}},
  {"symlink": {"target": "../x", "link": "/e", "gid": 3}},
  {"mkdir": {"path": "/f"}},
  {"remove": {"path": "/g"}},
  {"append": {"path": "/h", "content": ""}},
  {"chmod": {"path": "/", "mode": "1777"}},
  {"chown": {"path": "/i", "uid": 5, "mode": "0644"}},
  {"link": {"target": "/j", "link": "/k"}},
  {"xattr": {"path": "/l", "name": "user.a", "value": "v"}},
  {"xattr": {"path": "/l", "name": "user.a", "value_base64": "AA=="}},
  {"xattr": {"path": "/l", "name": "user.a", "remove": true}},
  {"rename": {"src": "/m", "dst": "/n", "replace": true}},
  {"touch": {"path": "/o"}},
  {"touch": {"path": "/o", "time": -5}},
  {"touch": {"path": "/o", "time": "-1.5"}},
  {"touch": {"path": "/o", "time": "2024-01-31T12:00:00+01:00"}}
]}`

const everyOpYAML = `
# the same
patches:
- text: {path: /a, content: "x\n", mode: "4755", replace: true, uid: 1, gid: 4294967294}
- file: {path: /b, content_base64: AAH/, mode: null}
- copy_file:
    src: s
    dst: //c//d/
    replace: false
    mode: '0000'
- copy_dir: {src: /s, dst: /, uid: 0}
- symlink: {target: ../x, link: /e, gid: 3}
- mkdir: {path: /f}
- remove: {path: /g}
- append: {path: /h, content: ""}
- chmod: {path: /, mode: "1777"}
- chown: {path: /i, uid: 5, mode: "0644"}
- link: {target: /j, link: /k}
- xattr: {path: /l, name: user.a, value: v}
- xattr: {path: /l, name: user.a, value_base64: AA==}
- xattr: {path: /l, name: user.a, remove: true}
- rename: {src: /m, dst: /n, replace: true}
- touch: {path: /o}
- touch: {path: /o, time: -5}
- touch: {path: /o, time: "-1.5"}
- touch: {path: /o, time: "2024-01-31T12:00:00+01:00"}
`

func everyOpDecoded() []Op {
	return []Op{
		Text{Path: "/a", Content: "x\n", Replace: true, Attr: Attr{Mode: ptr(uint16(0o4755)), Owner: Owner{UID: ptr(uint32(1)), GID: ptr(uint32(1<<32 - 2))}}},
		File{Path: "/b", Content: []byte{0, 1, 255}},
		CopyFile{Src: Source{"dir", "s"}, Dst: "//c//d/", Attr: Attr{Mode: ptr(uint16(0))}},
		CopyDir{Src: Source{"dir", "/s"}, Dst: "/", Owner: Owner{UID: ptr(uint32(0))}},
		Symlink{Target: "../x", Link: "/e", Owner: Owner{GID: ptr(uint32(3))}},
		Mkdir{Path: "/f"},
		Remove{Path: "/g"},
		Append{Path: "/h"},
		Chmod{Path: "/", Mode: 0o1777},
		Chown{Path: "/i", Attr: Attr{Owner: Owner{UID: ptr(uint32(5))}, Mode: ptr(uint16(0o644))}},
		Link{Target: "/j", Link: "/k"},
		Xattr{Path: "/l", Name: "user.a", Value: "v"},
		Xattr{Path: "/l", Name: "user.a", Value: "\x00"},
		Xattr{Path: "/l", Name: "user.a", Remove: true},
		Rename{Src: "/m", Dst: "/n", Replace: true},
		Touch{Path: "/o"},
		Touch{Path: "/o", Time: &tree.Time{Sec: -5}},
		Touch{Path: "/o", Time: &tree.Time{Sec: -2, Nsec: 500000000}},
		Touch{Path: "/o", Time: &tree.Time{Sec: 1706698800}},
	}
}

func TestDecode(t *testing.T) {
	list := strings.TrimSuffix(strings.TrimPrefix(everyOp, `{"patches": `), "}")
	for name, text := range map[string]string{"JSON": everyOp, "bare": list, "YAML": everyOpYAML} {
		ops, err := Decode(strings.NewReader(text), "dir/patches")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		ops = bare(ops)
		for i, want := range everyOpDecoded() {
			if i >= len(ops) || !reflect.DeepEqual(ops[i], want) {
				t.Errorf("%s: operation %d is %+v, expected %+v", name, i+1, ops[min(i, len(ops)-1)], want)
				break
			}
		}
	}
	for _, text := range []string{`[]`, ` [ ] `, `{"patches": []}`, `{"patches":null}`, "patches:", "patches: []", "---\n[]\n", "\n{\"patches\": []}"} {
		if ops, err := Decode(strings.NewReader(text), "p"); err != nil || len(ops) != 0 {
			t.Errorf("%q: %v, %v", text, ops, err)
		}
	}
}

// bare are operations without the places at which they stand.
func bare(ops []Op) (list []Op) {
	for _, op := range ops {
		list = append(list, op.(Placed).Op)
	}
	return list
}

// TestPlaces applies lists in files, which fail where the trees are looked at.
func TestPlaces(t *testing.T) {
	files := map[string]string{
		"d/main":  "{\"patch_files\": [\"first\"], \"patches\": [\n  {\"mkdir\": {\"path\": \"/a\"}},\n    {\"append\": {\"path\": \"/etc/x\", \"content\": \"\"}}]}",
		"d/first": "- mkdir: {path: /b}\n# more\n- remove: {path: /c}",
		"yaml":    "patches:\n  - text: {path: /a/b, content: x}\n  - chmod:\n      path: /no\n      mode: \"0644\"\n",
	}
	open := func(name string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(files[name])), nil }
	for name, want := range map[string]string{
		"d/main": "d/main:3:5: patch 4 (append /etc/x): not found: /etc does not exist",
		"yaml":   "yaml:3:5: patch 2 (chmod /no): not found",
	} {
		ops, err := Load(name, open)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Apply(context.Background(), tree.NewFlat(), ops, Options{})
		var failed *OpError
		if !errors.As(err, &failed) || !errors.Is(err, fs.ErrNotExist) || err.Error() != want {
			t.Errorf("%s: error %v, expected %s", name, err, want)
		}
	}
	invalid := Placed{Mkdir{Path: "a"}, "f", 1, 0, 7}
	if err := Check([]Op{Mkdir{Path: "/a"}, invalid}); err == nil || err.Error() != `f:1: patch 7 (mkdir a): path "a" is not absolute` {
		t.Errorf("error %v", err)
	}
	if err := Check([]Op{Mkdir{Path: "/a"}, Mkdir{Path: "a"}}); err == nil || err.Error() != `patch 2 (mkdir a): path "a" is not absolute` {
		t.Errorf("error %v", err)
	}
}

// TestDecodeRefuses is each rule broken once, in JSON and, behind "| ", YAML.
func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{``, `p: there is nothing in it`},
		{`# nothing`, `p: there is nothing in it`},
		{"#mtree ocipipe-tree 1 data=inline\n.\x00", `p: is a tree stream, not a list of patches`},
		{"\x1f\x8b\x08\x00", `p: is compressed with gzip, not a list of patches`},
		{"#!/usr/bin/x\n{}", `p:2:1: neither a list nor an object with "patches"`},
		{`5`, `p:1:1: patches are a number, not a list`},
		{`{}`, `p:1:1: neither a list nor an object with "patches"`},
		{`{"patches": {}}`, `p:1:13: patches are an object, not a list`},
		{`{"patches": [], "x": 1}`, `p:1:17: an object with patches has no field "x"`},
		{`{"patches": [], "patches": []}`, `p:1:17: "patches" is there twice`},
		{`{"patch_files": ["x"]}`, `p:1:17: patch_files cannot be named here`},
		{`[] []`, `p:1:4: more than one value`},
		{`[5]`, `p:1:2: patch 1: it is a number, not an object`},
		{`[null]`, `p:1:2: patch 1: it is null, not an object`},
		{`[{}]`, `p:1:2: patch 1: an object with 0 keys, not with one, the operation`},
		{`[{"mkdir": {"path": "/a"}, "remove": {"path": "/a"}}]`, `p:1:2: patch 1: an object with 2 keys, not with one, the operation`},
		{`[{"Text": {"path": "/a", "content": ""}}]`, `p:1:3: patch 1: there is no operation "Text"`},
		{`[{"type": "text", "path": "/a", "content": ""}]`, `p:1:2: patch 1: an object with 3 keys, not with one, the operation`},
		{"[{\"mkdir\": {\"path\": \"/a\"}},\n  {\"mkdir\": []}]", `p:2:13: patch 2 (mkdir): it is a list, not an object`},
		{`[{"mkdir": {}}]`, `p:1:12: patch 1 (mkdir): "path" is missing`},
		{`[{"chmod": {"path": "/a", "moode": "0644"}}]`, `p:1:27: patch 1 (chmod /a): it has no field "moode"`},
		{`[{"mkdir": {"path": 5}}]`, `p:1:21: patch 1 (mkdir): "path" is a number, not a string (quotes make it one)`},
		{`[{"mkdir": {"path": null}}]`, `p:1:21: patch 1 (mkdir): "path" is null, not a string (quotes make it one)`},
		{`[{"mkdir": {"path": "/a", "content": ""}}]`, `p:1:27: patch 1 (mkdir /a): it has no field "content"`},
		{`[{"mkdir": {"path": "/a", "path": "/b"}}]`, `p:1:27: "path" is there twice`},
		{`[{"remove": {"path": "/a", "mode": "0644"}}]`, `p:1:28: patch 1 (remove /a): it has no field "mode"`},
		{`[{"symlink": {"target": "a", "link": "/a", "mode": "0777"}}]`, `p:1:44: patch 1 (symlink /a): it has no field "mode"`},
		{`[{"mkdir": {"path": "a"}}]`, `p:1:21: patch 1 (mkdir a): "path": path "a" is not absolute`},
		{`[{"mkdir": {"path": ""}}]`, `p:1:21: patch 1 (mkdir): "path": path "" is not absolute`},
		{`[{"mkdir": {"path": "/"}}]`, `p:1:12: patch 1 (mkdir /): not for the root directory`},
		{`[{"mkdir": {"path": "/a/../b"}}]`, `p:1:21: patch 1 (mkdir /a/../b): "path": path component ".."`},
		{`[{"mkdir": {"path": "/./a"}}]`, `p:1:21: patch 1 (mkdir /./a): "path": path component "."`},
		{`[{"mkdir": {"path": "/."}}]`, `p:1:21: patch 1 (mkdir /.): "path": path component "."`},
		{`[{"mkdir": {"path": "/a\u0000"}}]`, `p:1:21: patch 1 (mkdir "/a\x00"): "path": NUL in path`},
		{`[{"mkdir": {"path": "/` + strings.Repeat("n", 256) + `"}}]`, `"path": path component of 256 bytes, over 255`},
		{`[{"mkdir": {"path": "/a", "mode": "644"}}]`, `p:1:35: patch 1 (mkdir /a): "mode" is not a string of four octal digits`},
		{`[{"mkdir": {"path": "/a", "mode": "00644"}}]`, `"mode" is not a string of four octal digits`},
		{`[{"mkdir": {"path": "/a", "mode": "0o64"}}]`, `"mode" is not a string of four octal digits`},
		{`[{"mkdir": {"path": "/a", "mode": "0899"}}]`, `"mode" is not a string of four octal digits`},
		{`[{"mkdir": {"path": "/a", "mode": "+644"}}]`, `"mode" is not a string of four octal digits`},
		{`[{"mkdir": {"path": "/a", "mode": "0_64"}}]`, `"mode" is not a string of four octal digits`},
		{`[{"mkdir": {"path": "/a", "mode": 420}}]`, `"mode" is not a string of four octal digits`},
		{`[{"chmod": {"path": "/a"}}]`, `p:1:12: patch 1 (chmod /a): "mode" is missing`},
		{`[{"chmod": {"path": "/a", "mode": null}}]`, `"mode" is not a string of four octal digits`},
		{`[{"chown": {"path": "/a"}}]`, `p:1:12: patch 1 (chown /a): neither uid nor gid`},
		{`[{"chown": {"path": "/a", "uid": -1}}]`, `p:1:34: patch 1 (chown /a): "uid" is not a number from 0 to 4294967294`},
		{`[{"chown": {"path": "/a", "uid": 4294967295}}]`, `"uid" is not a number from 0 to 4294967294`},
		{`[{"chown": {"path": "/a", "uid": 1.5}}]`, `"uid" is not a number from 0 to 4294967294`},
		{`[{"chown": {"path": "/a", "uid": "5"}}]`, `"uid" is not a number from 0 to 4294967294`},
		{`[{"chown": {"path": "/a", "gid": null}}]`, `"gid" is not a number from 0 to 4294967294`},
		{`[{"text": {"path": "/a", "content": "", "replace": null}}]`, `"replace" is null, not a boolean`},
		{`[{"text": {"path": "/a", "content": "", "replace": "true"}}]`, `"replace" is a string, not a boolean`},
		{`[{"file": {"path": "/a", "content_base64": "AA"}}]`, `p:1:44: patch 1 (file /a): "content_base64" is not base64`},
		{`[{"file": {"path": "/a", "content_base64": "A-_A"}}]`, `"content_base64" is not base64`},
		{`[{"file": {"path": "/a", "content_base64": "AAAA\nAAAA"}}]`, `"content_base64" is not base64`},
		{`[{"file": {"path": "/a", "content_base64": "AB=="}}]`, `"content_base64" is not base64`},
		{`[{"symlink": {"target": "", "link": "/a"}}]`, `p:1:14: patch 1 (symlink /a): symbolic link without a target`},
		{`[{"symlink": {"target": "a\u0000", "link": "/a"}}]`, `NUL in target of symbolic link`},
		{`[{"symlink": {"target": "` + strings.Repeat("t", 4096) + `", "link": "/a"}}]`, `target of symbolic link of 4096 bytes, over 4095`},
		{`[{"copy_file": {"src": "", "dst": "/a"}}]`, `p:1:16: patch 1 (copy_file /a): source without a path`},
		{`[{"copy_dir": {"src": "a\u0000", "dst": "/a"}}]`, `NUL in source path`},
		{`[{"xattr": {"path": "/a", "name": "user.a"}}]`, `p:1:12: patch 1 (xattr /a): one of "value", "value_base64" and "remove": true is needed`},
		{`[{"xattr": {"path": "/a", "name": "user.a", "value": "", "remove": true}}]`, `one of "value", "value_base64" and "remove": true is needed`},
		{`[{"xattr": {"path": "/a", "name": "user.a", "value": "", "value_base64": ""}}]`, `one of "value", "value_base64" and "remove": true is needed`},
		{`[{"xattr": {"path": "/a", "name": "a", "value": ""}}]`, `extended attribute "a": the names begin with`},
		{`[{"xattr": {"path": "/a", "name": "user.", "value": ""}}]`, `extended attribute "user.": the names begin with`},
		{`[{"xattr": {"path": "/a", "name": "trusted.overlay.opaque", "value": "y"}}]`, `extended attribute trusted.overlay.opaque is a mark of layers`},
		{`[{"xattr": {"path": "/a", "name": "trusted.ocipipe.implied", "value": "y"}}]`, `extended attribute trusted.ocipipe.implied is a mark of layers`},
		{`[{"xattr": {"path": "/a", "name": "user.` + strings.Repeat("n", 251) + `", "value": "y"}}]`, `name of extended attribute of 256 bytes, over 255`},
		{`[{"xattr": {"path": "/a", "name": "user.n", "value": "` + strings.Repeat("n", 65537) + `"}}]`, `extended attribute of 65537 bytes, over 65536`},
		{`[{"xattr": {"path": "/a", "name": "system.posix_acl_access", "value": "acl"}}]`, `not a valid access control list`},
		{`[{"touch": {"path": "/a", "time": "now"}}]`, `"time" is not a number of seconds`},
		{`[{"touch": {"path": "/a", "time": 1.5}}]`, `"time" is not a number of seconds`},
		{`[{"touch": {"path": "/a", "time": "1.0000000001"}}]`, `"time" is not a number of seconds`},
		{`[{"touch": {"path": "/a", "time": "1."}}]`, `"time" is not a number of seconds`},
		{`[{"touch": {"path": "/a", "time": null}}]`, `"time" is not a number of seconds`},
		{`[{"mkdir": {"path": "/a\ud800"}}]`, `p:1:21: string with half of a surrogate pair`},
		{"[\n{\"mkdir\": {\"path\": \"/ä\xff\"}}]", `p:2:23: byte 0xff is not UTF-8`},
		{"[{\"mkdir\": {\"path\": \"/ä\", \"x\": 1}}]", `p:1:27: patch 1 (mkdir /ä): it has no field "x"`},
		{manyKeys(65), `p:1:451: object with more than 64 keys`},
		{manyKeys(64), `p:1:2: patch 1: an object with 64 keys, not with one, the operation`},
		{strings.Repeat("[", 40) + strings.Repeat("]", 40), `p:1:33: values nested deeper than 32 levels`},
		{"| - mkdir: {path: /a, mode: 0755}", `p:1:27: patch 1 (mkdir /a): "mode" is not a string of four octal digits`},
		{"| - chown: {path: /a, uid: 010}", `p:1:26: patch 1 (chown /a): "uid" is not a number from 0 to 4294967294`},
		{"| - chown: {path: /a, uid: 0x10}", `"uid" is not a number from 0 to 4294967294`},
		{"| - touch: {path: /a, time: +5}", `"time" is not a number of seconds`},
		{"| - touch: {path: /a, time: 010}", `"time" is not a number of seconds`},
		{"| - touch: {path: /a, time: -1.5}", `"time" is not a number of seconds`},
		{"| - mkdir: {path: /a, mode: 0899}", `"mode" is not a string of four octal digits`},
		{"| - mkdir: {path: /a}\n- mkdir:\n    path: /b\n    size: 5", `p:4:5: patch 2 (mkdir /b): it has no field "size"`},
		{"| - text: {path: /a, content: 5}", `p:1:29: patch 1 (text /a): "content" is a number, not a string (quotes make it one)`},
		{"| - text: {path: /a, content: true}", `"content" is a boolean, not a string (quotes make it one)`},
		{"| - text: {path: /a, content: 2024-01-31}", `p:1:29: "2024-01-31" is a time to YAML: put it in quotes`},
		{"| - text: {path: /a, content: }", `"content" is null, not a string (quotes make it one)`},
		{"| - mkdir: &a {path: /a}\n- mkdir: *a", `p:1:10: anchors are not supported`},
		{"| - mkdir: {path: !!str /a}", `p:1:17: tags are not supported`},
		{"| - mkdir: {path: !x /a}", `p:1:17: tags are not supported`},
		{"| - mkdir: {<<: {path: /a}}", `p:1:11: "<<" is !!merge to YAML: put it in quotes`},
		{"| - mkdir: {path: /a, path: /b}", `p:1:21: "path" is there twice`},
		{"| - mkdir: {5: /a}", `p:1:11: a key is a number, not a string`},
		{"| " + strings.Repeat("- ", 40) + "a", `p:1:67: values nested deeper than 32 levels`},
		{"| []\n---\n[]", `p:2:1: more than one document`},
		{"| - mkdir: {path: /a", `p:1: an object in { } lacks a comma or its end`},
		{"| \t- a", `p:1: a tab, or one of @`},
		{"| - mkdir: {path: \"/a\"}\n  remove: {path: /a}", `p:1:3: patch 1: an object with 2 keys`},
	} {
		text := strings.TrimPrefix(c.text, "| ")
		ops, err := Decode(strings.NewReader(text), "p")
		var syntax *FileError
		switch {
		case err == nil:
			t.Errorf("%.200s: %+v, expected %s", text, ops, c.want)
		case !strings.Contains(err.Error(), c.want) || !errors.As(err, &syntax) || syntax.File != "p":
			t.Errorf("%.200s\n     error %v\n  expected %s", text, err, c.want)
		}
	}
}

// manyKeys is a list of an object with n keys.
func manyKeys(n int) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"%02d":0`, i)
	}
	return "[{" + strings.Join(keys, ",") + "}]"
}

// TestDecodeTooMany reads lists that are small enough, but hold too many values.
func TestDecodeTooMany(t *testing.T) {
	reftest.OneThread(t)
	ones := "[" + strings.Repeat("1,", maxValues) + "1]"
	for _, c := range []struct{ text, want string }{
		{ones, fmt.Sprintf("p:1:%d: more than 1048576 values in one file", 2*maxValues)},
		{ones[:2*maxValues-2] + "]", "p:1:2: patch 1: it is a number"}, // one for the list
		{"- " + ones, "p: YAML with more than 262144 of the characters []{},:-? in one file"},
		{strings.Repeat("-", maxMarks+1), "p: YAML with more than 262144"},
		{"[" + strings.Repeat("{},", maxMarks) + "{]", "p:1:786435: ']' where a name in double quotes should be"}, // of JSON, without a look at it as YAML
	} {
		if _, err := Decode(strings.NewReader(c.text), "p"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20s: error %.300v, expected %s", c.text, err, c.want)
		}
	}
	text := strings.Repeat("x", MaxFile/2)
	if ops, err := Decode(strings.NewReader("- text: {path: /a, content: \""+text+strings.Repeat("-", maxMarks-9)+"\"}"), "p"); err != nil || len(ops) != 1 {
		t.Errorf("error %.300v", err)
	}
}

// TestLongTexts reads texts that are too long to be shown whole in an error.
func TestLongTexts(t *testing.T) {
	reftest.OneThread(t)
	long := strings.Repeat("x", 1<<20)
	for _, text := range []string{
		`[{"` + long + `": {}}]`,
		`{"` + long + `": 0}`,
		`[{"remove": {"path": "/a", "` + long + `": 0}}]`,
		`[{"` + long + `": 0, "` + long + `": 0}]`,
		`[{"remove": {"path": "` + long + `"}}]`,
		`[{"remove": {"path": "/` + long + `"}}]`,
		`[{"xattr": {"path": "/a", "name": "` + long + `", "value": ""}}]`,
		"- chmod: {path: /a, mode: 0" + strings.Repeat("1", 1<<20) + "}",
		"- chmod: {path: /a, time: 2024-01-01 00:00:00." + strings.Repeat("1", 1<<20) + "}",
	} {
		if _, err := Decode(strings.NewReader(text), "p"); err == nil || len(err.Error()) > 3*maxShown {
			t.Errorf("%.60s: %v", text, len(fmt.Sprint(err)))
		}
	}
}

func TestDecodeTooLarge(t *testing.T) {
	reftest.OneThread(t)
	big := io.MultiReader(strings.NewReader(`[{"text": {"path": "/a", "content": "`), io.LimitReader(letters{}, MaxFile), strings.NewReader(`"}}]`))
	if _, err := Decode(big, "p"); err == nil || !strings.Contains(err.Error(), "p: file of more than 16777216 bytes") {
		t.Errorf("error %v", err)
	}
	fits := io.MultiReader(strings.NewReader(`[{"text": {"path": "/a", "content": "`), io.LimitReader(letters{}, MaxFile-100), strings.NewReader(`"}}]`))
	if ops, err := Decode(fits, "p"); err != nil || len(bare(ops)[0].(Text).Content) != MaxFile-100 {
		t.Errorf("error %v", err)
	}
	failing := io.MultiReader(strings.NewReader(`[`), errReader{})
	if _, err := Decode(failing, "p"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error %v", err)
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, fs.ErrPermission }

func TestLoad(t *testing.T) {
	files := map[string]string{
		"d/main":     `{"patch_files": ["one", "sub/two", "/abs"], "patches": [{"copy_file": {"src": "s", "dst": "/main"}}]}`,
		"d/one":      `[{"copy_file": {"src": "s", "dst": "/one"}}]`,
		"d/sub/two":  `{"patches": [{"copy_dir": {"src": "s", "dst": "/two"}}]}`,
		"/abs":       "- mkdir: {path: /abs}",
		"d/none":     `{"patch_files": ["nowhere"]}`,
		"d/bad":      `{"patch_files": ["one", "five"]}`,
		"d/five":     `[{"mkdir": {"path": "five"}}]`,
		"d/nested":   `{"patch_files": ["main"]}`,
		"d/list":     `{"patch_files": "one"}`,
		"d/entry":    `{"patch_files": [1]}`,
		"d/own":      `{"patch_files": ["one"], "patches": [{"mkdir": {}}]}`,
		"d/bare":     `{"patch_files": []}`,
		"d/notthere": `{"patch_files": null}`,
	}
	var closed int
	open := func(name string) (io.ReadCloser, error) {
		text, ok := files[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return closer{strings.NewReader(text), &closed}, nil
	}
	ops, err := Load("d/main", open)
	want := []Op{
		CopyFile{Src: Source{"d", "s"}, Dst: "/one"}, CopyDir{Src: Source{"d/sub", "s"}, Dst: "/two"}, Mkdir{Path: "/abs"}, CopyFile{Src: Source{"d", "s"}, Dst: "/main"},
	}
	if err != nil || !reflect.DeepEqual(bare(ops), want) || closed != 4 {
		t.Errorf("%+v, %v, %d closed", ops, err, closed)
	}
	for name, want := range map[string]string{
		"nowhere":    "open nowhere: file does not exist",
		"d/none":     "open d/nowhere: file does not exist",
		"d/bad":      `d/five:1:21: patch 2 (mkdir five): "path": path "five" is not absolute`,
		"d/nested":   "d/main:1:17: patch_files cannot be named here",
		"d/list":     "d/list:1:17: patch_files is a string, not a list",
		"d/entry":    "d/entry:1:18: patch_files has a number, not the name of a file",
		"d/own":      `d/own:1:48: patch 2 (mkdir): "path" is missing`,
		"d/notthere": "d/notthere:1:17: patch_files is null, not a list",
	} {
		if _, err := Load(name, open); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: error %v, expected %s", name, err, want)
		}
	}
	if ops, err := Load("d/bare", open); err != nil || len(ops) != 0 {
		t.Errorf("%v, %v", ops, err)
	}
}

type closer struct {
	io.Reader
	closed *int
}

func (c closer) Close() error { *c.closed++; return nil }

// FuzzDecode looks for what is accepted and is not valid, or says something else in
// another spelling.
func FuzzDecode(f *testing.F) {
	seeds := []string{everyOp, everyOpYAML, "- mkdir: {path: /a}", `[{"mkdir":{"path":"/a"}}]`}
	for _, s := range seeds {
		if _, err := Decode(strings.NewReader(s), "seed"); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(s))
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte(strings.Repeat("[", 1000)))
	f.Fuzz(func(t *testing.T, data []byte) {
		ops, err := Decode(strings.NewReader(string(data)), "f")
		if err != nil {
			var syntax *FileError
			if !errors.As(err, &syntax) || syntax.File != "f" {
				t.Errorf("error without a file: %v", err)
			}
			return
		}
		for _, op := range ops {
			if err := op.check(); err != nil {
				t.Errorf("%+v was accepted: %v", op, err)
			}
		}
		// JSON is YAML, but for what each says of strings that are not text.
		again, err := parseYAML(data)
		if err != nil {
			return
		}
		d := decoder{file: "f"}
		if err := d.document(again, nil); err == nil && fmt.Sprintf("%#v", deref(d.ops)) != fmt.Sprintf("%#v", deref(ops)) {
			t.Errorf("as YAML it is %+v, as JSON %+v", d.ops, ops)
		}
	})
}

// deref are the operations as text, without addresses.
func deref(ops []Op) (list []string) {
	for _, op := range ops {
		list = append(list, fmt.Sprintf("%T %q %q", op.(Placed).Op, op.path(), op.name()))
	}
	return list
}
