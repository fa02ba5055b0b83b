package cli

import (
	"os"
	"strings"
	"testing"
)

type orderedTool struct {
	Args []string `arg:"" optional:""`
	Add  Ordered  `placeholder:"X"`
	Take Ordered  `short:"t" placeholder:"X"`
	On   bool     `short:"n"`

	given string
}

func (t *orderedTool) Run(*Env) error {
	for _, o := range InOrder(t.Add, t.Take) {
		t.given += o.Flag + "=" + o.Value + ";"
	}
	return nil
}

func TestInOrder(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"--add=1", "--take", "2", "arg", "--add", "3", "-t4", "-nt5", "--add=6", "--take=a,b", "--add=--x", "--take=a=b", "-t", "8"},
			"add=1;take=2;add=3;take=4;take=5;add=6;take=a,b;add=--x;take=a=b;take=8;"},
		{[]string{"--take=2", "--add=1", "--take=", "--add=1"}, "take=2;add=1;take=;add=1;"},
	} {
		tool := &orderedTool{}
		if code := Run(Manual{Name: "tool"}, tool, c.args, Streams{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}); code != 0 || tool.given != c.want {
			t.Errorf("%q: code %d: %s", c.args, code, tool.given)
		}
	}
	var b strings.Builder
	code := Run(Manual{Name: "tool"}, &orderedTool{}, []string{"--add"}, Streams{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: &b})
	if code != 2 || b.String() != "tool: --add: value is missing\ntool: hint: see tool --help\n" {
		t.Errorf("code %d: %s", code, &b)
	}
}
