package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

func TestCompletionOfUnknownShell(t *testing.T) {
	for _, c := range []struct{ arg, want string }{
		{"--completion=csh", `probe: --completion: "csh" is not bash, zsh or fish`},
		{"--completion", "probe: --completion: value is missing"},
	} {
		status, stderr := run(t, command(t, c.arg))
		if status != "2" || stderr != c.want+"\nprobe: hint: see probe --help\n" {
			t.Errorf("%s: exit code %s: %s", c.arg, status, stderr)
		}
	}
}

// completing is a directory with two files and a directory in it.
func completing(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"in.tree", "in put"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "indir"), 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

var flagsOfProbe = []string{"--do", "--image", "--mode", "--text", "--limit", "--mtime", "--no-sync", "--depfile", "--depfile-target", "--report", "--report-fd", "--report-digest", "--bars", "--list", "--output", "-o", "--tmpdir", "--quiet", "--progress", "--progress-fd", "--version", "--help", "-h"}

func TestBashCompletion(t *testing.T) {
	dir := completing(t)
	script := printedBy(t, "--completion=bash")
	for _, c := range []struct {
		line []string // as bash splits it
		want []string
	}{
		{[]string{"-"}, flagsOfProbe},
		{[]string{"--p"}, []string{"--progress", "--progress-fd"}},
		{[]string{"--mode", ""}, []string{"fast", "slow"}},
		{[]string{"--mode", "="}, []string{"fast", "slow"}},
		{[]string{"--mode", "=", "s"}, []string{"slow"}},
		{[]string{"--mode", "none"}, nil},
		{[]string{"--limit", ""}, nil},
		{[]string{"--image", ""}, []string{"in put", "in.tree", "indir"}},
		{[]string{"--quiet", "=", "in"}, nil}, // a value that cannot be completed
		{[]string{"in."}, []string{"in.tree"}},
		{[]string{"--output", "in"}, []string{"in put", "in.tree", "indir"}},
		{[]string{"-o", "in."}, []string{"in.tree"}},
		{[]string{"--tmpdir", "=", ""}, []string{"indir"}},
	} {
		sh := reftest.Command(t, "bash", append([]string{"-uc", `eval "$0"
			cd "$1"
			shift
			complete -p probe >&2
			COMP_WORDS=(probe "$@")
			COMP_CWORD=$#
			_probe
			[ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"`, script, dir}, c.line...)...)
		out, err := sh.Output()
		if err != nil {
			t.Fatalf("bash: %v", err)
		}
		compare(t, "bash", c.line, string(out), c.want)
	}
}

// compare compares completions, one a line.
func compare(t *testing.T, shell string, line []string, out string, want []string) {
	t.Helper()
	var got []string
	if out != "" {
		got = strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	}
	slices.Sort(got)
	want = slices.Clone(want)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s completes %q with %q, want %q", shell, line, got, want)
	}
}

func TestFishCompletion(t *testing.T) {
	reftest.Need(t, "fish")
	dir := completing(t)
	script := printedBy(t, "--completion=fish")
	for _, c := range []struct {
		line string
		want []string
	}{
		{"--mode ", []string{"fast\tHow fast", "slow\tHow fast"}},
		{"--mode=s", []string{"--mode=slow\tHow fast"}},
		{"--prog", []string{"--progress\tProgress: auto, tty, plain, json, none", "--progress-fd\tShow progress on file descriptor N"}},
		{"--text in.", []string{"in.tree"}},
		{"-o in.", []string{"in.tree"}},
		{"--tmpdir ", []string{"indir/\tDirectory"}},
	} {
		sh := reftest.Command(t, "fish", "--no-config", "-c", `cd $argv[2]; echo $argv[1] | source; complete -C "probe $argv[3]"`, script, dir, c.line)
		sh.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := sh.Output()
		if err != nil {
			t.Fatalf("fish: %v", err)
		}
		compare(t, "fish", []string{c.line}, string(out), c.want)
	}
}

// zshTerminal is a zsh with a terminal of its own: completion works only on one. Each line
// is typed into it, with a tab at its end. A function in place of the tool then prints its
// arguments.
type zshTerminal struct{ tool, home, dir string }

func newZsh(t *testing.T, tool, script string) zshTerminal {
	t.Helper()
	reftest.Need(t, "zsh")
	z := zshTerminal{tool, t.TempDir(), completing(t)}
	for name, content := range map[string]string{
		"_" + tool: script,
		".zshrc": `PS1=ready:
			fpath=($ZDOTDIR $fpath)
			autoload -U compinit
			compinit -u -d $ZDOTDIR/dump
			` + tool + `() { print -r -- "<${(j:><:)@}>" }`,
	} {
		if err := os.WriteFile(filepath.Join(z.home, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return z
}

func (z zshTerminal) check(t *testing.T, line, want string) {
	t.Helper()
	const ask = `
		zmodload zsh/zpty
		cd $1
		zpty zsh zsh -d -i
		zpty -r zsh line '*ready:*'
		zpty -w zsh "$2"$'\t'
		zpty -r zsh line $'*<*>\r\n*'
		print -r -- $line
		zpty -d zsh`
	sh := reftest.Command(t, "zsh", "-f", "-c", ask, "zsh", z.dir, z.tool+" "+line)
	sh.Env = append(os.Environ(), "ZDOTDIR="+z.home, "TERM=dumb", "LC_ALL=C")
	out, err := sh.Output()
	if err != nil || !strings.Contains(string(out), "\n"+want+"\r\n") {
		t.Errorf("zsh completes %q, %v, with %q; want %s", line, err, out, want)
	}
}

func TestZshCompletion(t *testing.T) {
	zsh := newZsh(t, "probe", printedBy(t, "--completion=zsh"))
	for _, c := range []struct{ line, want string }{
		{"--mode=s", "<--mode=slow>"},
		{"--mode f", "<--mode><fast>"},
		{"--progress-", "<--progress-fd>"},
		{"--tex", "<--text>"},
		{"--text in.", "<--text><in.tree>"},
		{"--output=in.", "<--output=in.tree>"},
		{"-o in.", "<-o><in.tree>"},
		{"--tmpdir=in", "<--tmpdir=indir>"},
	} {
		zsh.check(t, c.line, c.want)
	}
}
