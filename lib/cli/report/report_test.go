package report

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"ocipipe/lib/oci/printable"
	"ocipipe/lib/tree"
)

// TestFieldsAreDocumented compares the fields with the tables of REPORT.md.
func TestFieldsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("REPORT.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	table, rest, _ := strings.Cut(string(text), "\n## Counts")
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(table, -1) {
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			documented[name[1]] = true
		}
	}
	fields := 0
	for _, name := range jsonNames(reflect.TypeFor[Result]()) {
		if fields++; !documented[name] {
			t.Errorf("REPORT.md has no row for %s", name)
		}
		delete(documented, name)
	}
	if len(documented) > 0 || fields < 20 {
		t.Errorf("%d fields; of no field: %v", fields, documented)
	}
	for _, name := range jsonNames(reflect.TypeFor[tree.Counts]()) {
		if !strings.Contains(rest, "`"+name+"`") {
			t.Errorf("REPORT.md does not say what %s counts", name)
		}
	}
}

func jsonNames(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// TestUnknown: what is unknown is left out, and counts are complete.
func TestUnknown(t *testing.T) {
	var empty, some map[string]any
	size := int64(0)
	full := Result{Size: &size, Counts: &tree.Counts{Files: 1}, Features: []string{}, Layers: []Layer{}}
	if json.Unmarshal(printable.Encode(&Result{}), &empty) != nil || json.Unmarshal(printable.Encode(&full), &some) != nil {
		t.Fatal("no JSON")
	}
	if len(empty) != 5 { // version, tool, tool_version, warnings, duration_seconds
		t.Errorf("%v", empty)
	}
	if len(some) != 9 || some["size"] != 0.0 || len(some["counts"].(map[string]any)) != 11 {
		t.Errorf("%v", some)
	}
}

func TestUUID(t *testing.T) {
	if got := UUID([16]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0, 1, 2, 3, 4, 5, 6, 7}); got != "01234567-89ab-cdef-0001-020304050607" {
		t.Error(got)
	}
}

func TestAmount(t *testing.T) {
	var b Blobs
	b.Pushed.Add(5)
	b.Pushed.Add(7)
	if b.Pushed != (Amount{2, 12}) || b.Mounted != (Amount{}) {
		t.Errorf("%+v", b)
	}
}
