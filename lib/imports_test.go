// Package lib_test holds the law of who may import whom.
package lib_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

const module = "ocipipe/"

// allowed is, for each package of lib, what it may import from lib. A package
// that does not exist yet is fine; one that is not listed is not. A part of a package
// has its row or, without one, that of the package: the parts that share a row may
// import each other.
var allowed = map[string][]string{
	"atomicfile":        {},
	"osfile":            {},
	"blockio":           {"atomicfile", "osfile"}, // a spool is a file that never had a name
	"posixacl":          {},
	"tree":              {"blockio", "magic"},
	"tree/list":         {"tree"},
	"platform":          {},
	"layout":            {},
	"cas":               {"atomicfile", "layout", "osfile", "platform", "jsonfault"},
	"exclusive":         {"osfile"},
	"gunzip":            {},
	"unzstd":            {},
	"lz4":               {},
	"compression":       {},
	"magic":             {"compression"},
	"jsonfault":         {},
	"decompress":        {"gunzip", "unzstd", "compression"},
	"oci":               {"layout", "osfile", "platform", "unzstd", "compression", "decompress", "blockio", "oci/manifest", "oci/printable", "magic"}, // blockio: archives from a pipe are spooled
	"oci/manifest":      {"platform", "oci/printable", "jsonfault"},
	"oci/printable":     {},
	"oci/names":         {},
	"oci/hosts":         {"oci/names"},
	"oci/conn":          {"oci/hosts"},
	"oci/login":         {"oci/hosts", "oci/printable", "jsonfault"},
	"oci/registry":      {"oci/hosts", "oci/conn", "oci/login", "oci/printable"},
	"oci/pull":          {"layout", "osfile", "platform", "cas", "blockio", "oci", "oci/manifest", "oci/hosts", "oci/names", "oci/registry"},
	"oci/push":          {"oci", "oci/manifest", "oci/names", "oci/registry", "platform"}, // platform: images in tests
	"oci/ocitest":       {"layout", "platform", "oci/manifest"},
	"layer":             {"tree", "gunzip", "unzstd", "compression", "decompress", "blockio", "magic"},
	"input":             {"oci", "layer", "tree", "unzstd", "compression"},
	"erofs":             {"tree", "blockio", "erofs/disk", "erofs/read", "erofs/merge", "erofs/z"},
	"erofs/disk":        {"tree"},
	"erofs/read":        {"tree", "blockio", "erofs/disk", "erofs/z", "magic"},
	"erofs/z":           {"lz4"},
	"erofs/merge":       {"tree", "erofs/disk", "erofs/read"},
	"erofs/sizes":       {"tree", "tree/list", "erofs/read", "erofs", "erofs/merge"}, // erofs, erofs/merge: images in tests
	"ext4":              {"tree", "blockio", "ext4/alloc", "ext4/disk", "ext4/journal", "ext4/read", "ext4/audit"},
	"ext4/alloc":        {},
	"ext4/disk":         {"tree", "posixacl"},
	"ext4/journal":      {"ext4/disk"},
	"ext4/volume":       {"tree", "blockio", "ext4/disk", "ext4/journal", "magic"},
	"ext4/read":         {"tree", "ext4/disk", "ext4/volume"},
	"ext4/audit":        {"tree", "ext4/disk", "ext4/journal", "ext4/volume", "ext4/read"},
	"ext4/grow":         {"blockio", "ext4/alloc", "ext4/disk", "ext4/journal", "ext4/volume"},
	"vmdk":              {"blockio", "osfile", "erofs/disk", "magic"},
	"lower":             {"tree", "blockio", "exclusive", "erofs", "erofs/disk", "erofs/read", "erofs/merge", "ext4", "ext4/disk", "ext4/read", "ext4/volume", "magic"},                                                                                                                          // erofs, ext4: images in tests
	"overlay":           {"tree", "ext4/read", "erofs", "erofs/read", "ext4", "ext4/disk", "lower", "layer"},                                                                                                                                                                                     // all but tree and ext4/read: images in tests
	"patch":             {"tree", "osfile", "posixacl", "erofs", "ext4", "magic", "jsonfault"},                                                                                                                                                                                                   // erofs, ext4: images in tests
	"imagecache":        {"layout", "cas", "oci/manifest", "oci/names", "oci/printable", "erofs", "erofs/disk", "erofs/read", "erofs/merge", "erofs/z", "tree", "vmdk"},                                                                                                                          // erofs/merge, erofs/z, tree: images in tests
	"materialize":       {"atomicfile", "blockio", "osfile", "tree", "layout", "platform", "cas", "oci", "oci/manifest", "oci/printable", "oci/pull", "oci/registry", "layer", "input", "erofs", "erofs/read", "erofs/merge", "erofs/z", "ext4", "ext4/read", "vmdk", "imagecache", "jsonfault"}, // erofs/z: names of algorithms in tests
	"commit":            {"blockio", "cas", "compression", "input", "layer", "oci", "oci/manifest", "oci/names", "platform", "tree", "jsonfault"},
	"cli":               {"atomicfile", "blockio", "osfile", "compression", "tree", "cli/makerule", "cli/report", "oci/printable", "magic"}, // printable: a report may quote names of images
	"cli/makerule":      {},
	"cli/report":        {"tree", "oci/printable"},
	"cli/imageflags":    {"atomicfile", "cli", "cli/report", "oci", "oci/manifest", "platform"},
	"cli/erofsflags":    {"cli", "cli/report", "erofs", "erofs/disk", "erofs/z"},
	"cli/ext4flags":     {"cli", "cli/report", "exclusive", "ext4", "ext4/disk", "ext4/grow", "ext4/volume"},
	"cli/lowerflags":    {"cli", "lower"},
	"cli/lookflags":     {"cli", "tree", "tree/list"},
	"cli/cachedir":      {"cli", "cas"},
	"cli/cacheflags":    {"cli/cachedir", "cli", "cas", "oci/pull"},
	"cli/registryflags": {"cli", "oci", "oci/pull", "oci/hosts", "oci/registry"},
	"reftest":           {},

	"snapshot":            {"blockio", "osfile", "exclusive", "ext4/disk", "ext4/volume", "cas", "snapshot/fault", "snapshot/strictjson", "snapshot/integrity", "snapshot/archive", "snapshot/form", "snapshot/form06", "snapshot/form07", "snapshot/imagefiles", "layout", "oci/manifest", "oci/printable", "magic", "jsonfault"},
	"snapshot/imagefiles": {"oci/manifest", "vmdk", "snapshot/fault", "snapshot/strictjson", "jsonfault"},
	"snapshot/fault":      {},
	"snapshot/strictjson": {"snapshot/fault"},
	"snapshot/integrity":  {"blockio", "snapshot/fault"},
	"snapshot/archive":    {"unzstd", "snapshot/fault", "magic"},
	"snapshot/form":       {"snapshot/fault", "snapshot/integrity", "snapshot/strictjson", "snapshot/archive"},
	"snapshot/form06":     {"snapshot/form", "snapshot/fault", "snapshot/strictjson", "snapshot/integrity", "snapshot/archive"},
	"snapshot/form07":     {"snapshot/form", "snapshot/form06", "snapshot/fault", "snapshot/strictjson", "snapshot/integrity", "snapshot/archive"}, // form06: conversion, and records that did not change
}

// onlyIn is what only some packages, and those below them, may import, by prefix of
// the import.
var onlyIn = map[string][]string{
	"github.com/google/go-containerregistry": {"oci", "commit"}, // commit: media types
	"github.com/docker":                      {"oci"},           // the configuration files that package authn reads
	"github.com/pelletier/go-toml":           {"oci"},           // registries.conf
	"github.com/alecthomas/kong":             {"cli"},
	"go.yaml.in/yaml":                        {"patch"},
	"unsafe":                                 {},
	"C":                                      {},
}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	Deps                               []string // all that it links, in the end
}

func TestImports(t *testing.T) {
	pkgs, err := list(t, "./...", "../cmd/...")
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 5 {
		t.Fatalf("go list found only %v", pkgs)
	}
	for _, p := range pkgs {
		for _, fault := range check(p) {
			t.Error(fault)
		}
	}
}

func list(t *testing.T, patterns ...string) (pkgs []pkg, err error) {
	out, err := reftest.Command(t, "go", append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps"}, patterns...)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("go list: %w: %s", err, exit.Stderr)
		}
		return nil, err
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
}

// check returns how p breaks the law. Tests, and packages for tests, follow the same one,
// but may also use reftest, what is for tests of the packages that they may import, and all
// parts of the package that theirs is a part of.
func check(p pkg) (faults []string) {
	name := strings.TrimPrefix(p.ImportPath, module)
	if name == "lib" { // this test
		return nil
	}
	imports, ofTests := p.Imports, slices.Concat(p.TestImports, p.XTestImports)
	if isForTests(name) {
		imports, ofTests = nil, slices.Concat(p.Imports, ofTests)
	}
	for _, i := range imports {
		if why := forbidden(name, i); why != "" {
			faults = append(faults, fmt.Sprintf("%s imports %s: %s", name, i, why))
		}
	}
	for _, i := range ofTests {
		if i == module+"lib/reftest" || strings.HasPrefix(i, module+"lib/reftest/") {
			continue
		}
		if target, ok := strings.CutPrefix(i, module+"lib/"); ok && ownerOf(target) == ownerOf(name) {
			continue // tests of a part may use the others
		}
		if target, ok := strings.CutPrefix(i, module+"lib/"); ok && isForTests(i[len(module):]) && slices.Contains(allowed[rowOf(name)], path.Dir(target)) {
			continue // what is for tests of a package that it may import
		}
		if why := forbidden(name, i); why != "" {
			faults = append(faults, fmt.Sprintf("a test of %s imports %s: %s", name, i, why))
		}
	}
	if strings.HasPrefix(name, "lib/") && allowed[ownerOf(name)] == nil {
		faults = append(faults, fmt.Sprintf("%s is not in the table", name))
	}
	return faults
}

// isForTests reports whether the package called name is a part of another that only its
// tests use: lib/ext4/internal/ext4test.
func isForTests(name string) bool {
	return ownerOf(name) != strings.TrimPrefix(name, "lib/") && ownerOf(name) != "reftest" && strings.HasSuffix(name, "test")
}

// ownerOf is the package of lib that name lies in or below: the directories of
// lib/reftest/demoimage belong to reftest.
func ownerOf(name string) string {
	owner, _, _ := strings.Cut(strings.TrimPrefix(name, "lib/"), "/")
	return owner
}

// rowOf is the row of the table for the package called name.
func rowOf(name string) string {
	name = strings.TrimPrefix(name, "lib/")
	for allowed[name] == nil && strings.Contains(name, "/") {
		name = path.Dir(name)
	}
	return name
}

// forbidden says why the package called name may not import i; "" if it may.
func forbidden(name, i string) string {
	inLib := strings.HasPrefix(name, "lib/")
	for prefix, owners := range onlyIn {
		if (i == prefix || strings.HasPrefix(i, prefix+"/")) && inLib && !slices.Contains(owners, ownerOf(name)) {
			return "only for " + strings.Join(append(slices.Clone(owners), "nobody else in lib"), ", ")
		}
	}
	i, ours := strings.CutPrefix(i, module)
	if !ours {
		return ""
	}
	target, isLib := strings.CutPrefix(i, "lib/")
	switch {
	case !isLib && strings.HasPrefix(i, "cmd/internal/") && strings.HasPrefix(name, "cmd/") && !strings.HasPrefix(name, "cmd/internal/"):
		return "" // the program of a tool
	case !isLib:
		return "only a program imports a tool"
	case target == "reftest", ownerOf(target) == "reftest" && ownerOf(name) != "reftest":
		return "for tests only"
	case !inLib:
		return "" // a tool may use any of them
	case ownerOf(target) == "cli" && ownerOf(name) != "cli":
		return "only for cmd"
	case ownerOf(target) == ownerOf(name) && isForTests("lib/"+target):
		return "for tests only"
	case rowOf(name) == rowOf(target):
		return "" // parts without rows of their own
	case !slices.Contains(allowed[rowOf(name)], target):
		return "not in the table"
	}
	return ""
}

// TestNoNetwork shows that programs which read no registry do not link what speaks to
// one: the tools but those for images in registries and the one that is all tools, and the libraries that other programs build on.
func TestNoNetwork(t *testing.T) {
	pkgs, err := list(t, "../cmd/...", "./oci", "./input", "./cas")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pkgs {
		want := slices.Contains([]string{"oci-fetch", "oci-materialize", "oci-commit", "oci-push", "ocipipe"}, strings.TrimPrefix(p.ImportPath, module+"cmd/"))
		if strings.HasPrefix(p.ImportPath, module+"cmd/internal/") {
			continue // the program links what its tool does
		}
		for _, network := range []string{"net/http", "crypto/tls"} {
			if got := slices.Contains(p.Deps, network); got != want {
				t.Errorf("%s links %s: %v", p.ImportPath, network, got)
			}
		}
	}
}

// TestLaw shows that the checker finds what it is for.
func TestLaw(t *testing.T) {
	for _, c := range []struct {
		name  string
		p     pkg
		fault string // part of the one fault; "" if there is none
	}{
		{"allowed", pkg{ImportPath: "ocipipe/lib/erofs", Imports: []string{"fmt", "ocipipe/lib/tree", "ocipipe/lib/blockio"}}, ""},
		{"not in its row", pkg{ImportPath: "ocipipe/lib/erofs", Imports: []string{"ocipipe/lib/layer"}}, "lib/erofs imports lib/layer"},
		{"part", pkg{ImportPath: "ocipipe/lib/oci", Imports: []string{"ocipipe/lib/oci/manifest"}}, ""},
		{"upwards to the package", pkg{ImportPath: "ocipipe/lib/oci/manifest", Imports: []string{"ocipipe/lib/oci"}}, "not in the table"},
		{"the registry in the local part", pkg{ImportPath: "ocipipe/lib/oci", Imports: []string{"ocipipe/lib/oci/registry"}}, "not in the table"},
		{"part out of its row", pkg{ImportPath: "ocipipe/lib/oci/manifest", Imports: []string{"ocipipe/lib/blockio"}}, "lib/oci/manifest imports lib/blockio"},
		{"unlisted part", pkg{ImportPath: "ocipipe/lib/erofs/new", Imports: []string{"ocipipe/lib/tree"}}, ""},
		{"test of a part", pkg{ImportPath: "ocipipe/lib/oci/manifest", XTestImports: []string{"ocipipe/lib/oci"}}, ""},
		{"package for tests", pkg{ImportPath: "ocipipe/lib/erofs", Imports: []string{"ocipipe/lib/erofs/internal/erofstest"}}, "for tests only"},
		{"package for tests of another", pkg{ImportPath: "ocipipe/lib/erofs", TestImports: []string{"ocipipe/lib/tree/treetest"}}, ""},
		{"package for tests of another, in code", pkg{ImportPath: "ocipipe/lib/erofs", Imports: []string{"ocipipe/lib/tree/treetest"}}, "not in the table"},
		{"package for tests of one out of its row", pkg{ImportPath: "ocipipe/lib/blockio", TestImports: []string{"ocipipe/lib/tree/treetest"}}, "not in the table"},
		{"flags in cmd", pkg{ImportPath: "ocipipe/cmd/internal/ocifetch", Imports: []string{"ocipipe/lib/cli/imageflags"}}, ""},
		{"flags in lib", pkg{ImportPath: "ocipipe/lib/input", Imports: []string{"ocipipe/lib/cli/imageflags"}}, "only for cmd"},
		{"package for tests with reftest", pkg{ImportPath: "ocipipe/lib/erofs/internal/erofstest", Imports: []string{"ocipipe/lib/reftest", "ocipipe/lib/erofs/read"}}, ""},
		{"package for tests out of its row", pkg{ImportPath: "ocipipe/lib/erofs/internal/erofstest", Imports: []string{"ocipipe/lib/layer"}}, "a test of lib/erofs/internal/erofstest imports"},
		{"parts that share a row", pkg{ImportPath: "ocipipe/lib/oci/registry", Imports: []string{"ocipipe/lib/oci/registry/hosts"}}, ""},
		{"upwards", pkg{ImportPath: "ocipipe/lib/blockio", Imports: []string{"ocipipe/lib/tree"}}, "not in the table"},
		{"cli in lib", pkg{ImportPath: "ocipipe/lib/materialize", Imports: []string{"ocipipe/lib/cli"}}, "only for cmd"},
		{"unlisted package", pkg{ImportPath: "ocipipe/lib/util"}, "lib/util is not in the table"},
		{"unsafe", pkg{ImportPath: "ocipipe/lib/gunzip", Imports: []string{"unsafe"}}, "nobody else in lib"},
		{"cgo", pkg{ImportPath: "ocipipe/lib/gunzip", Imports: []string{"C"}}, "nobody else in lib"},
		{"registry in oci", pkg{ImportPath: "ocipipe/lib/oci", Imports: []string{"github.com/google/go-containerregistry/pkg/v1/remote"}}, ""},
		{"registry below oci", pkg{ImportPath: "ocipipe/lib/oci/login", Imports: []string{"github.com/google/go-containerregistry/pkg/authn"}}, ""},
		{"registry elsewhere", pkg{ImportPath: "ocipipe/lib/layer", Imports: []string{"github.com/google/go-containerregistry/pkg/v1"}}, "only for oci"},
		{"TOML elsewhere", pkg{ImportPath: "ocipipe/lib/layer", Imports: []string{"github.com/pelletier/go-toml/v2"}}, "only for oci"},
		{"kong elsewhere", pkg{ImportPath: "ocipipe/lib/tree", TestImports: []string{"github.com/alecthomas/kong"}}, "only for cli"},
		{"test with reftest", pkg{ImportPath: "ocipipe/lib/erofs", TestImports: []string{"ocipipe/lib/reftest"}}, ""},
		{"outer test of itself", pkg{ImportPath: "ocipipe/lib/erofs", XTestImports: []string{"ocipipe/lib/erofs"}}, ""},
		{"test out of its row", pkg{ImportPath: "ocipipe/lib/tree", XTestImports: []string{"ocipipe/lib/erofs"}}, "a test of lib/tree imports"},
		{"reftest in a tool", pkg{ImportPath: "ocipipe/cmd/internal/tar2tree", Imports: []string{"ocipipe/lib/reftest"}}, "for tests only"},
		{"tool", pkg{ImportPath: "ocipipe/cmd/internal/tar2tree", Imports: []string{"ocipipe/lib/cli", "ocipipe/lib/layer"}}, ""},
		{"tool in its program", pkg{ImportPath: "ocipipe/cmd/tar2tree", Imports: []string{"ocipipe/cmd/internal/tar2tree"}}, ""},
		{"tool in a tool", pkg{ImportPath: "ocipipe/cmd/internal/tar2tree", TestImports: []string{"ocipipe/cmd/internal/tree2tar"}}, "only a program imports a tool"},
		{"tool in lib", pkg{ImportPath: "ocipipe/lib/layer", Imports: []string{"ocipipe/cmd/internal/tree2tar"}}, "only a program imports a tool"},
		{"test with a part of reftest", pkg{ImportPath: "ocipipe/lib/oci", TestImports: []string{"ocipipe/lib/reftest/registry"}}, ""},
		{"part of reftest in a tool", pkg{ImportPath: "ocipipe/cmd/internal/ocifetch", Imports: []string{"ocipipe/lib/reftest/registry"}}, "for tests only"},
		{"part of reftest in lib", pkg{ImportPath: "ocipipe/lib/oci", Imports: []string{"ocipipe/lib/reftest/registry"}}, "for tests only"},
		{"part of reftest in another", pkg{ImportPath: "ocipipe/lib/reftest/registry/cmd", Imports: []string{"ocipipe/lib/reftest/registry"}}, ""},
		{"below reftest", pkg{ImportPath: "ocipipe/lib/reftest/demoimage", Imports: []string{"archive/tar"}}, ""},
	} {
		faults := check(c.p)
		if c.fault == "" && len(faults) > 0 || c.fault != "" && (len(faults) != 1 || !strings.Contains(strings.ReplaceAll(faults[0], module, ""), c.fault)) {
			t.Errorf("%s: faults %q, want %q", c.name, faults, c.fault)
		}
	}
}
