package reftest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
)

const goldenFile = "testdata/golden.sha256"

var goldenMu sync.Mutex

// Golden compares the bytes of r with the line for name in testdata/golden.sha256
// of the package under test (in the form of sha256sum). With GOLDEN=update, as
// "make golden" sets it, it rewrites the line.
func Golden(t testing.TB, name string, r io.Reader) {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%x", h.Sum(nil))
	goldenMu.Lock()
	defer goldenMu.Unlock()
	lines := readGolden(t)
	if lines[name] == got {
		return
	}
	if os.Getenv("GOLDEN") != "update" {
		t.Errorf("%s: SHA-256 is %s, golden is %q (make golden rewrites it)", name, got, lines[name])
		return
	}
	lines[name] = got
	writeGolden(t, lines)
}

func readGolden(t testing.TB) map[string]string {
	b, err := os.ReadFile(goldenFile)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for _, l := range strings.Split(string(b), "\n") {
		if sum, name, ok := strings.Cut(l, "  "); ok {
			lines[name] = sum
		}
	}
	return lines
}

func writeGolden(t testing.TB, lines map[string]string) {
	var text []string
	for name, sum := range lines {
		text = append(text, sum+"  "+name+"\n")
	}
	sort.Slice(text, func(i, j int) bool { return text[i][64:] < text[j][64:] })
	if err := os.MkdirAll(filepath.Dir(goldenFile), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenFile, []byte(strings.Join(text, "")), 0o666); err != nil {
		t.Fatal(err)
	}
}
