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
// that does not exist yet is fine; one that is not listed is not.
var allowed = map[string][]string{
	"atomicfile":  {},
	"blockio":     {"atomicfile"}, // a spool is a file that never had a name
	"tree":        {"blockio"},
	"cas":         {"atomicfile"},
	"gunzip":      {},
	"unzstd":      {},
	"compression": {},
	"oci":         {"cas", "gunzip", "unzstd", "compression", "blockio"}, // blockio: archives from a pipe are spooled
	"layer":       {"tree", "gunzip", "unzstd", "compression", "blockio"},
	"input":       {"oci", "layer", "tree", "unzstd", "compression"},
	"erofs":       {"tree", "blockio"},
	"ext4":        {"tree", "blockio"},
	"vmdk":        {"blockio"},
	"snapshot":    {"atomicfile", "blockio", "ext4", "cas"},
	"patch":       {"tree", "erofs", "ext4"}, // erofs, ext4: images in tests
	"materialize": {"atomicfile", "blockio", "tree", "cas", "gunzip", "unzstd", "compression", "oci", "layer", "input", "erofs", "ext4", "vmdk", "snapshot", "patch"},
	"cli":         {"atomicfile", "blockio", "compression", "tree"},
	"reftest":     {},
}

// onlyIn is what only some packages, and those below them, may import, by prefix of
// the import.
var onlyIn = map[string][]string{
	"github.com/google/go-containerregistry": {"oci"},
	"github.com/docker":                      {"oci"}, // the configuration files that package authn reads
	"github.com/pelletier/go-toml":           {"oci"}, // registries.conf
	"github.com/alecthomas/kong":             {"cli"},
	"go.yaml.in/yaml":                        {"patch"},
	"unsafe":                                 {},
	"C":                                      {},
}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
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
	out, err := reftest.Command(t, "go", append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports"}, patterns...)...).Output()
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

// check returns how p breaks the law. Tests follow the same one, but may use
// reftest and the packages that their own package may.
func check(p pkg) (faults []string) {
	name := strings.TrimPrefix(p.ImportPath, module)
	if name == "lib" { // this test
		return nil
	}
	for _, i := range p.Imports {
		if why := forbidden(name, i); why != "" {
			faults = append(faults, fmt.Sprintf("%s imports %s: %s", name, i, why))
		}
	}
	for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
		if i == p.ImportPath || i == module+"lib/reftest" || strings.HasPrefix(i, module+"lib/reftest/") {
			continue
		}
		if why := forbidden(name, i); why != "" {
			faults = append(faults, fmt.Sprintf("a test of %s imports %s: %s", name, i, why))
		}
	}
	if owner := ownerOf(name); strings.HasPrefix(name, "lib/") && allowed[owner] == nil {
		faults = append(faults, fmt.Sprintf("%s is not in the table", name))
	}
	return faults
}

// ownerOf is the package of lib that name lies in or below: the directories of
// lib/reftest/demoimage belong to reftest.
func ownerOf(name string) string {
	owner, _, _ := strings.Cut(strings.TrimPrefix(name, "lib/"), "/")
	return owner
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
	case !isLib:
		return "nothing imports a tool"
	case target == "reftest", ownerOf(target) == "reftest" && ownerOf(name) != "reftest":
		return "for tests only"
	case !inLib:
		return "" // a tool may use any of them
	case target == "cli":
		return "only for cmd"
	case ownerOf(name) == path.Dir(target) || strings.HasPrefix(name, i+"/"):
		return "" // its own parts
	case !slices.Contains(allowed[ownerOf(name)], target):
		return "not in the table"
	}
	return ""
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
		{"reftest in a tool", pkg{ImportPath: "ocipipe/cmd/tar2tree", Imports: []string{"ocipipe/lib/reftest"}}, "for tests only"},
		{"tool", pkg{ImportPath: "ocipipe/cmd/tar2tree", Imports: []string{"ocipipe/lib/cli", "ocipipe/lib/layer"}}, ""},
		{"tool in a tool", pkg{ImportPath: "ocipipe/cmd/tar2tree", TestImports: []string{"ocipipe/cmd/tree2tar"}}, "nothing imports a tool"},
		{"test with a part of reftest", pkg{ImportPath: "ocipipe/lib/oci", TestImports: []string{"ocipipe/lib/reftest/registry"}}, ""},
		{"part of reftest in a tool", pkg{ImportPath: "ocipipe/cmd/oci-fetch", Imports: []string{"ocipipe/lib/reftest/registry"}}, "for tests only"},
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
