package cli

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

// several is a tool with commands. Flags of the same name take different values.
type several struct {
	Dir string `placeholder:"DIR" group:"Common" help:"A directory."`

	Ls struct {
		Form string `enum:"long,short" default:"long" placeholder:"long|short" help:"How much."`
	} `cmd:"" help:"List what's there: \"all\"."`
	Rm struct {
		Form  string   `enum:"fast,slow" default:"fast" placeholder:"fast|slow" help:"How fast."`
		Force bool     `group:"Danger" help:"Do not ask."`
		Names []string `arg:"" completion:"none" help:"Names."`
	} `cmd:"" help:"Remove some."`
	Pack struct {
		Out Output `embed:""`
		In  string `arg:"" optional:"" help:"Input."`
	} `cmd:"" help:"Pack a file."`
}

func (s *several) Run(env *Env) error {
	_, err := fmt.Fprintln(env.Stdout, env.Command, s.Dir, s.Ls.Form, s.Rm.Names, s.Pack.In)
	return err
}

var severalManual = Manual{
	Name:        "several",
	Summary:     "Do one of several things.",
	Description: "It has commands.",
	Flags:       map[string]string{"dir": "It is there."},
	Commands: map[string]Command{
		"rm": {Description: "They are gone then.", Arguments: "A name is a word.", Flags: map[string]string{"form": "Slow is slower."}},
	},
	Examples: []Example{{"Remove one", "several rm x"}, {"See the rest", "several ls"}},
	SeeAlso:  []string{"mandoc"},
}

func commandOfSeveral(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(t, args...)
	cmd.Env = append(cmd.Env, "CLI_TEST_PROBE=commands")
	return cmd
}

func printedBySeveral(t *testing.T, args ...string) string {
	t.Helper()
	out, err := commandOfSeveral(t, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", args, err)
	}
	return string(out)
}

func TestCommands(t *testing.T) {
	for _, c := range []struct{ args, status, stdout, stderr string }{
		{"ls", "0", "ls  long [] \n", ""},
		{"--dir=d ls --form short", "0", "ls d short [] \n", ""},
		{"rm --dir=d --force a b", "0", "rm d long [a b] \n", ""},
		{"pack in", "0", "pack  long [] in\n", ""},
		{"", "2", "", "several: command is missing: want ls, rm, pack\nseveral: hint: see several --help\n"},
		{"--dir d", "2", "", "several: command is missing: want ls, rm, pack\nseveral: hint: see several --help\n"},
		{"lx", "2", "", "several: \"lx\" is not a command: want ls, rm, pack\nseveral: hint: see several --help\n"},
		{"a\x1b[31m", "2", "", "several: \"a\\x1b[31m\" is not a command: want ls, rm, pack\nseveral: hint: see several --help\n"},
		{"ls more", "2", "", "several: unexpected argument more\nseveral: hint: see several ls --help\n"},
		{"rm", "2", "", "several: argument is missing: <names> ...\nseveral: hint: see several rm --help\n"},
		{"rm --form=long x", "2", "", "several: --form: \"long\" is none of fast, slow\nseveral: hint: see several rm --help\n"},
		{"pack --output=", "2", "", "several: --output: value is empty\nseveral: hint: see several pack --help\n"},
	} {
		cmd := commandOfSeveral(t, strings.Fields(c.args)...)
		var stdout strings.Builder
		cmd.Stdout = &stdout
		status, stderr := run(t, cmd)
		if status != c.status || stdout.String() != c.stdout || stderr != c.stderr {
			t.Errorf("%q: exit code %s, %q, %q; want %s, %q, %q", c.args, status, stdout.String(), stderr, c.status, c.stdout, c.stderr)
		}
	}
}

func TestHelpOfCommands(t *testing.T) {
	t.Setenv("COLUMNS", "200")
	for _, c := range []struct {
		args      []string
		want, not []string
	}{
		{[]string{"--help"}, []string{
			"Usage: several <command> [flags]\n\nDo one of several things.\n\nCommands:\n",
			"  ls      List what's there: \"all\".\n", "  rm      Remove some.\n",
			"\nCommon:\n", "several rm x\n", "several ls\n",
		}, []string{"--form", "Danger"}},
		{[]string{"rm", "--help"}, []string{
			"Usage: several rm <names> ... [flags]\n\nRemove some.\n\nArguments:\n",
			"--form=fast|slow", "several rm x\n", "\n\nDanger:\n", "man several\n",
		}, []string{"several ls", "Commands:", "How much"}},
	} {
		help := printedBySeveral(t, c.args...)
		for _, want := range c.want {
			if !strings.Contains(help, want) {
				t.Errorf("%s does not say %q:\n%s", c.args, want, help)
			}
		}
		for _, not := range c.not {
			if strings.Contains(help, not) {
				t.Errorf("%s says %q:\n%s", c.args, not, help)
			}
		}
		if own, common := strings.Index(help, "--form"), strings.Index(help, "--dir"); common < own {
			t.Errorf("%s shows the flags of the tool before those of the command:\n%s", c.args, help)
		}
	}
}

func TestPageOfCommands(t *testing.T) {
	page := printedBySeveral(t, "--man")
	for _, want := range []string{
		".Sh SYNOPSIS\n.Nm\n.Cm ls\n.Op Ar options\n.Nm\n.Cm rm\n.Op Ar options\n.Ar names ...\n.Nm\n.Cm pack\n.Op Ar options\n.Op Ar in\n.Sh DESCRIPTION\n",
		".Sh COMMANDS\n.Ss ls\nList what's there: \n", ".Ss rm\nRemove some.\n.Pp\nThey are gone then.\n", "A name is a word.\n",
		".It Fl \\-form Ns = Ns Ar fast|slow\nHow fast (default fast).\nSlow is slower.\n",
		".It Fl \\-form Ns = Ns Ar long|short\nHow much (default long).\n.El\n",
		".It Fl o , Fl \\-output Ns = Ns Ar FILE\n",
		".Sh OPTIONS\nThese go with every command:\n.Ss Common\n.Bl -tag -width Ds\n.It Fl \\-dir Ns = Ns Ar DIR\nA directory.\nIt is there.\n",
	} {
		if !strings.Contains(page, strings.ReplaceAll(want, ": \n", ":\n")) {
			t.Errorf("the man page does not have %q:\n%s", want, page)
		}
	}
	lint(t, page)
}

func TestManualOfNoCommand(t *testing.T) {
	for want, commands := range map[string]map[string]Command{
		"several: there is no command mv to explain":     {"mv": {}},
		"several: there is no flag --force to explain":   {"ls": {Flags: map[string]string{"force": "It is of rm."}}},
		"several: there is no flag --nothing to explain": {"rm": {Flags: map[string]string{"nothing": "It is of none."}}},
	} {
		func() {
			defer func() {
				if p := recover(); p != want {
					t.Errorf("panic is %v, want %s", p, want)
				}
			}()
			m := severalManual
			m.Commands = commands
			Run(m, &several{}, nil, Streams{})
		}()
	}
}

func TestBashCompletionOfCommands(t *testing.T) {
	dir := completing(t)
	script := printedBySeveral(t, "--completion=bash")
	common := []string{"--dir", "--quiet", "--progress", "--progress-fd", "--version", "--help", "-h"}
	for _, c := range []struct {
		line []string
		want []string
	}{
		{[]string{""}, []string{"ls", "rm", "pack"}},
		{[]string{"l"}, []string{"ls"}},
		{[]string{"-"}, common},
		{[]string{"--dir", "in"}, []string{"indir"}},
		{[]string{"--dir", "=", "x", "r"}, []string{"rm"}},
		{[]string{"ls", "-"}, append([]string{"--form"}, common...)},
		{[]string{"--quiet", "rm", "--f"}, []string{"--form", "--force"}},
		{[]string{"ls", "--form", ""}, []string{"long", "short"}},
		{[]string{"rm", "--form", "=", ""}, []string{"fast", "slow"}},
		{[]string{"rm", "ls", "--form", "=", ""}, []string{"fast", "slow"}},
		{[]string{"pack", "--form", ""}, []string{"in put", "in.tree", "indir"}},
		{[]string{"rm", "--dir", ""}, []string{"indir"}},
		{[]string{"rm", "i"}, nil},
		{[]string{"ls", "i"}, nil},
		{[]string{"pack", "in."}, []string{"in.tree"}},
		{[]string{"pack", "-o", "in."}, []string{"in.tree"}},
	} {
		sh := reftest.Command(t, "bash", append([]string{"-uc", `eval "$0"
			cd "$1"
			shift
			COMP_WORDS=(several "$@")
			COMP_CWORD=$#
			_several
			[ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"`, script, dir}, c.line...)...)
		out, err := sh.Output()
		if err != nil {
			t.Fatalf("bash: %v", err)
		}
		compare(t, "bash", c.line, string(out), c.want)
	}
}

func TestFishCompletionOfCommands(t *testing.T) {
	reftest.Need(t, "fish")
	dir := completing(t)
	script := printedBySeveral(t, "--completion=fish")
	for _, c := range []struct {
		line string
		want []string
	}{
		{"", []string{"ls\tList what's there: \"all\"", "rm\tRemove some", "pack\tPack a file"}},
		{"--dir x p", []string{"pack\tPack a file"}},
		{"ls --form ", []string{"long\tHow much", "short\tHow much"}},
		{"rm --form=s", []string{"--form=slow\tHow fast"}},
		{"rm --fo", []string{"--form\tHow fast", "--force\tDo not ask"}},
		{"ls --fo", []string{"--form\tHow much"}},
		{"ls --di", []string{"--dir\tA directory"}},
		{"ls i", nil},
		{"rm i", nil},
		{"pack in.", []string{"in.tree"}},
	} {
		sh := reftest.Command(t, "fish", "--no-config", "-c", `cd $argv[2]; echo $argv[1] | source; complete -C "several $argv[3]"`, script, dir, c.line)
		sh.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := sh.Output()
		if err != nil {
			t.Fatalf("fish: %v", err)
		}
		compare(t, "fish", []string{c.line}, string(out), c.want)
	}
}

func TestZshCompletionOfCommands(t *testing.T) {
	zsh := newZsh(t, "several", printedBySeveral(t, "--completion=zsh"))
	for _, c := range []struct{ line, want string }{
		{"l", "<ls>"},
		{"--dir=x r", "<--dir=x><rm>"},
		{"--di", "<--dir>"},
		{"ls --form=s", "<ls><--form=short>"},
		{"rm --form s", "<rm><--form><slow>"},
		{"rm --forc", "<rm><--force>"},
		{"ls --qui", "<ls><--quiet>"},
		{"ls --dir=in", "<ls><--dir=indir>"},
		{"pack in.", "<pack><in.tree>"},
		{"pack -o in.", "<pack><-o><in.tree>"},
		{"rm in.", "<rm><in.>"},
	} {
		zsh.check(t, c.line, c.want)
	}
}
