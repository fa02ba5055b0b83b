package hosts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

const someDigest = "@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes files with these contents in dir, by name.
func write(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for file, text := range files {
		path := filepath.Join(dir, file)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

// find is Find with the text of one file.
func find(t *testing.T, text, ref string) (r Route, warned []string, err error) {
	t.Helper()
	file := write(t, t.TempDir(), map[string]string{"registries.conf": text}) + "/registries.conf"
	parsed, err := name.ParseReference(ref)
	must(t, err)
	r, err = Find([]string{file}, parsed, func(s string) { warned = append(warned, s) })
	if err != nil && !strings.HasPrefix(err.Error(), file+": ") {
		t.Errorf("%q: %v: does not name the file", ref, err)
	}
	return r, warned, err
}

// show returns the parts of a route that the tests compare.
func (r Route) show() string {
	var list []string
	for _, e := range append(slices.Clone(r.Mirrors), r.Origin) {
		text := e.Host + "/" + e.Repo
		if e.Insecure {
			text += "!"
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

const manyTables = `
[[registry]]
location = "plain.example/"
insecure = true

[[registry]]
prefix = "plain.example:5000"
location = "moved.example"

[[registry]]
prefix = "plain.example/a/b"
location = "moved.example:1/c"
[[registry.mirror]]
location = "mirror.example/x"
insecure = true
[[registry.mirror]]
location = "tags.example"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "digests.example"
pull-from-mirror = "digest-only"

[[registry]]
prefix = "digests.example"
mirror-by-digest-only = true
[[registry.mirror]]
location = "mirror.example"

[[registry]]
prefix = "*.wild.example"
[[registry.mirror]]
location = "mirror.example/wild"

[[registry]]
prefix = "one.wild.example/x"
location = "docker.io/x"

[[registry]]
prefix = "docker.io/library"
location = "hub.example/lib"

[[registry]]
prefix = "bad.example/r:v1"
blocked = true
`

func TestFind(t *testing.T) {
	for ref, want := range map[string]string{
		"other.example/a/b:v1":             "other.example/a/b",
		"plain.example/a:v1":               "plain.example/a!",
		"plain.example.org/a:v1":           "plain.example.org/a",
		"plain.example/a/bc":               "plain.example/a/bc!",
		"plain.example/a/b":                "mirror.example/x! tags.example/ moved.example:1/c",
		"plain.example/a/b/d:v1":           "mirror.example/x/d! tags.example/d moved.example:1/c/d",
		"plain.example/a/b/d" + someDigest: "mirror.example/x/d! digests.example/d moved.example:1/c/d",
		"plain.example:5000/a:v1":          "moved.example/a",
		"plain.example:5001/a:v1":          "plain.example:5001/a",
		"digests.example/a:v1":             "digests.example/a",
		"digests.example/a" + someDigest:   "mirror.example/a digests.example/a",
		"wild.example/a":                   "wild.example/a",
		"a.wild.example/a":                 "mirror.example/wild/a a.wild.example/a",
		"a.b.wild.example/a":               "mirror.example/wild/a a.b.wild.example/a",
		"a.wild.example:5000/a":            "a.wild.example:5000/a",
		"one.wild.example/x/y:v1":          "index.docker.io/x/y",
		"alpine":                           "hub.example/lib/alpine",
		"docker.io/library/alpine:3":       "hub.example/lib/alpine",
		"docker.io/other/alpine":           "index.docker.io/other/alpine",
		"bad.example/r:v2":                 "bad.example/r",
		"bad.example/r:v1":                 "blocked",
	} {
		r, _, err := find(t, manyTables, ref)
		got := r.show()
		if errors.Is(err, ErrBlocked) {
			got = "blocked"
		} else if err != nil {
			got = err.Error()
		}
		if ref == "plain.example/a/b" { // nothing is left for a mirror without a path
			if err == nil || !strings.Contains(err.Error(), `location "tags.example"`) {
				t.Errorf("%s: %v", ref, err)
			}
			continue
		}
		if got != want {
			t.Errorf("%s: %s, want %s", ref, got, want)
		}
	}
}

// TestFindWrong: a setting that cannot be followed is an error if it applies.
func TestFindWrong(t *testing.T) {
	const table = "[[registry]]\nprefix = 'r.example'\n"
	for text, says := range map[string]string{
		"\n[[registry]\n":                        "line 2: ",
		"\n\n[[registry]]\na=\n":                 "line 4: ",
		table + "location = 7":                   "line 3: ",
		table + "blocked = 'yes'":                "line 3: ",
		table + table:                            `"r.example" is there twice`,
		"[[registry]]\n":                         "neither prefix nor location",
		table + "location = 'https://x.example'": `location "https://x.example"`,
		table + "location = 'name'":              `location "name"`,
		table + "location = 'x.example/UPPER'":   `location "x.example/UPPER"`,
		"[[registry]]\nprefix = 'r.example/a:v1'\nlocation = 'r.example/a:v2'":                                  "another tag",
		table + "[[registry.mirror]]\n":                                                                         `location ""`,
		table + "[[registry.mirror]]\nlocation='x.example'\npull-from-mirror='some'":                            `"some"`,
		table + "mirror-by-digest-only=true\n[[registry.mirror]]\nlocation='x.example'\npull-from-mirror=''":    "",
		table + "mirror-by-digest-only=true\n[[registry.mirror]]\nlocation='x.example'\npull-from-mirror='all'": "exclude",
		table + "[future]\nkey = 1":            "",
		table + "future = 1":                   "",
		strings.Repeat("#", maxConf+1):         "longer than",
		"a = " + strings.Repeat("[", 200_000):  "nested",
		"a = " + strings.Repeat("{a=", 80_000): "nested",
		"\x00":                                 "line 1: ",
		"\xff = 1":                             "line 1: ",
		strings.Repeat("[[registry]]\n", 10):   "neither",
		strings.Repeat(table, 100_000):         "longer than",
	} {
		_, _, err := find(t, text, "r.example/a:v1")
		if (err == nil) != (says == "") || err != nil && (!strings.Contains(err.Error(), says) || len(err.Error()) > 500) {
			t.Errorf("%.100q: %v, want %q", text, err, says)
		}
	}
}

// TestFindFiles: later files override earlier ones, and the files of a directory come in
// order. Missing files and other files are skipped; an unreadable one is an error.
func TestFindFiles(t *testing.T) {
	moved := func(to string) string {
		return fmt.Sprintf("[[registry]]\nprefix='r.example'\nlocation='%s.example'\n", to)
	}
	dir := write(t, t.TempDir(), map[string]string{
		"registries.conf": moved("main") + "[[registry]]\nprefix='r.example/deep'\nblocked=true",
		"d/10.conf":       moved("ten"), "d/20.conf": moved("twenty"), "d/30.txt": moved("text"), "d/sub.conf/x.conf": moved("below"),
		"e/00.conf": moved("last"),
	})
	must(t, os.Symlink("../registries.conf", dir+"/d/15.conf"))
	must(t, os.Symlink("d", dir+"/link"))
	ref, err := name.ParseReference("r.example/a")
	must(t, err)
	paths := func(names ...string) (list []string) {
		for _, n := range names {
			list = append(list, filepath.Join(dir, n))
		}
		return list
	}
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{nil, "r.example/a"},
		{paths("none", "none.d"), "r.example/a"},
		{paths("registries.conf"), "main.example/a"},
		{paths("registries.conf", "d"), "twenty.example/a"},
		{paths("registries.conf", "link", "e", "none"), "last.example/a"},
	} {
		r, err := Find(c.paths, ref, func(s string) { t.Log(s) })
		if err != nil || r.show() != c.want || (r.File == "") != (c.paths == nil || strings.HasSuffix(c.paths[0], "none")) {
			t.Errorf("%v: %s, %v, want %s", c.paths, r.show(), err, c.want)
		}
	}
	deep, err := name.ParseReference("r.example/deep/a")
	must(t, err)
	if _, err := Find(paths("registries.conf", "d"), deep, func(s string) { t.Log(s) }); !errors.Is(err, ErrBlocked) || !strings.Contains(err.Error(), "15.conf") {
		t.Errorf("a longer prefix in a former file: %v", err)
	}
	must(t, syscall.Mkfifo(dir+"/e/pipe.conf", 0o600))
	must(t, os.Symlink("nowhere", dir+"/d/99.conf"))
	for _, p := range []string{"d", "e"} {
		if _, err := Find(paths(p), ref, func(s string) { t.Log(s) }); err == nil || !strings.Contains(err.Error(), "/"+p+"/") {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// TestShortNames: there is a warning if, and only if, a short name means something else to
// podman.
func TestShortNames(t *testing.T) {
	const stock = "short-name-mode = 'enforcing'\n[aliases]\nalpine = 'docker.io/library/alpine'\nfedora = 'registry.fedoraproject.org/fedora'\n'a/b' = 'quay.io/a/b'\ngone = ''\n"
	const search = "unqualified-search-registries = ['quay.io', 'docker.io']\n"
	for _, c := range []struct{ text, ref, want string }{
		{search + stock, "alpine:3", ""},
		{search + stock, "docker.io/library/fedora", ""},
		{search + stock, "r.example/fedora", ""},
		{search + stock, "fedora:42", "aliases"},
		{search + stock, "fedora" + someDigest, "aliases"},
		{search + stock, "a/b", "aliases"},
		{search + stock, "gone", "unqualified-search-registries"},
		{search, "alpine", "unqualified-search-registries"},
		{stock, "nginx", ""},
		{"unqualified-search-registries = ['docker.io', 'quay.io']", "nginx", ""},
		{"unqualified-search-registries = []", "nginx", ""},
		{"[registries.block]\nregistries = ['x']", "r.example/a", "version 1"},
	} {
		_, warned, err := find(t, c.text, c.ref)
		if err != nil || (len(warned) == 0) != (c.want == "") || len(warned) > 1 || c.want != "" && !strings.Contains(warned[0], c.want) {
			t.Errorf("%q, %s: %q, %v", c.text, c.ref, warned, err)
		}
	}
	if r, warned, err := find(t, "credential-helpers = ['containers-auth.json', 'secretservice']", "r.example/a"); err != nil || len(warned) > 0 || !strings.Contains(r.Unasked, "credential-helpers in ") {
		t.Errorf("%q, %q, %v", r.Unasked, warned, err)
	}
	if r, _, err := find(t, "credential-helpers = ['containers-auth.json']", "r.example/a"); err != nil || r.Unasked != "" {
		t.Errorf("%q, %v", r.Unasked, err)
	}
}

func TestLocationPassword(t *testing.T) {
	for _, location := range []string{"http://me:secret@mirror.example/x", "me:secret@mirror.example/x"} {
		_, _, err := find(t, "[[registry]]\nprefix = \"r.example\"\nlocation = \""+location+"\"\n", "r.example/a")
		if err == nil || !strings.Contains(err.Error(), "me:xxxxx@mirror.example") || strings.Contains(err.Error(), "secret") {
			t.Errorf("location %s: %v", location, err)
		}
	}
}

func TestParseMirror(t *testing.T) {
	for _, s := range []string{"", "http://", "ftp://x", "a b", "http://u:secret@x", "x?y"} {
		if _, err := ParseMirror(s, "r"); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("mirror %q: %v", s, err)
		}
	}
	for s, want := range map[string]Endpoint{
		"x": {Host: "x", Repo: "r"}, "x:5000/": {Host: "x:5000", Repo: "r"}, "x:5000/a/b": {Host: "x:5000", Repo: "a/b/r"},
		"http://x": {Host: "x", Repo: "r", Scheme: "http"}, "https://x/a/": {Host: "x", Repo: "a/r", Scheme: "https"}, "[::1]:5000": {Host: "[::1]:5000", Repo: "r"},
	} {
		if got, err := ParseMirror(s, "r"); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1": true, "127.1.2.3:1": true, "[::1]:5000": true, "::1": true, "a.localhost": true,
		"example.org": false, "10.0.0.1:5000": false, "localhost.example": false, "[fe80::1]": false, "": false,
	} {
		if got := IsLoopback(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add(manyTables, "plain.example/a/b/d:v1")
	f.Add("unqualified-search-registries = ['x']\n[aliases]\na='b'", "a")
	f.Fuzz(func(t *testing.T, text, ref string) {
		parsed, err := name.ParseReference(ref)
		if err != nil {
			t.Skip("not the name of an image")
		}
		file := filepath.Join(t.TempDir(), "f")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		r, err := Find([]string{file}, parsed, func(string) {})
		for _, e := range append(r.Mirrors, r.Origin) {
			if err == nil && (e.Host == "" || e.Repo == "" || strings.ContainsAny(e.Host, "/ @")) {
				t.Errorf("%q, %q: %+v", text, ref, e)
			}
		}
	})
}
