package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDepfile tests --depfile as a user sees it.
func TestDepfile(t *testing.T) {
	const rules = "out: \\\n  in\nin:\n"
	for _, c := range []struct {
		name, line string
		status     string
		want       string // the content of d in the end; "-" for none
		said       string // part of standard error
	}{
		{"file", "probe -o out --depfile d in", "0", rules, ""},
		{"replaced", "echo old > d; probe -o out --depfile d in", "0", rules, ""},
		{"standard input", "probe -o out --depfile d < in", "0", "out:\n", ""},
		{"descriptor", "probe -o out --depfile d /dev/fd/3 3< in", "0", "out:\n", ""},
		{"pipe by name", "mkfifo p; cat in > p & probe -o out --depfile d p", "0", "out:\n", ""},
		{"another target", "probe -o out --depfile d --depfile-target 'b/o ut' in", "0", "b/o\\ ut: \\\n  in\nin:\n", ""},
		{"standard output", "probe --depfile d --depfile-target out in > out", "0", rules, ""},
		{"a pipe", "probe --depfile d --depfile-target out in | cat > out", "0", rules, ""},
		{"no output", "probe --do=warn --depfile d --depfile-target out", "0", "out:\n", ""},
		{"no name for the target", "probe --depfile d in > out", "2", "-", "there is no -o"},
		{"dash is no name", "probe -o - --depfile d in > out", "2", "-", "there is no -o"},
		{"target alone", "probe --depfile-target out in > out", "2", "-", "there is none"},
		{"to standard output", "probe -o out --depfile - in", "2", "-", "not -"},
		{"the output", "probe -o d --depfile ./d in", "2", "-", "is the depfile and the output at once"},
		{"the output, by an absolute path", "probe -o d --depfile $PWD/d in", "2", "-", "is the depfile and the output at once"},
		{"a link to the output", "ln -s out d; probe -o out --depfile d in; s=$?; test ! -e out && exit $s", "2", "-", "is the depfile and the output at once"},
		{"linked by the output", "ln -s d l; probe -o l --depfile d in", "2", "-", "is the depfile and the output at once"},
		{"a loop of links", "ln -s d l; ln -s l d; probe -o out --depfile d in; s=$?; test ! -e out && exit $s", "1", "-", "too many levels"},
		{"the output, linked", "echo old > d; ln d e; probe -o d --depfile e in", "2", "old\n", "is the depfile and the output at once"},
		{"the input", "cp in d; probe -o out --depfile d d", "2", "input\n", "is input and output at once"},
		{"no directory", "probe -o out --depfile no/d in; s=$?; test ! -e out && exit $s", "1", "-", "no/d"},
		{"no rule for the target", "probe -o a=b --depfile d in; s=$?; test ! -e a=b && exit $s", "2", "-", "cannot be named"},
		{"no rule for the input", "mkdir a=b; cp in a=b/x; probe -o out --depfile d a=b/x; s=$?; test ! -e out && exit $s", "1", "-", "cannot be named"},
		{"failure leaves it", "echo old > d; probe --do=fail -o out --depfile d in", "1", "old\n", "bad"},
		{"failure makes none", "probe --do=fail -o out --depfile d in", "1", "-", "bad"},
		{"forgotten output", "probe --do=abort -o out --depfile d in; test ! -e out", "0", "-", ""},
		{"full", "echo old > out; probe -o out --depfile /dev/full in; s=$?; grep -q old out && exit $s", "1", "-", "no space left"},
	} {
		for _, flags := range []string{"", "--image", "--no-sync"} {
			t.Run(c.name+flags, func(t *testing.T) {
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, "in"), []byte("input\n"), 0o666); err != nil {
					t.Fatal(err)
				}
				status, stderr := shell(t, dir, flags, c.line)
				if status != c.status || !strings.Contains(stderr, c.said) {
					t.Errorf("status %s, want %s; %q", status, c.status, stderr)
				}
				b, err := os.ReadFile(filepath.Join(dir, "d"))
				if c.want == "-" && err == nil || c.want != "-" && string(b) != c.want {
					t.Errorf("d holds %q, %v; want %q", b, err, c.want)
				}
				if debris, _ := filepath.Glob(dir + "/.*"); len(debris) > 0 {
					t.Errorf("debris: %q", debris)
				}
			})
		}
	}
}
