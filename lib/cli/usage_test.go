package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// usages has a flag and an argument of each kind that a user can get wrong.
type usages struct {
	Name   string            `help:"A name."`
	Count  int64             `help:"A number."`
	Digest digest.Digest     `help:"A digest."`
	Wait   time.Duration     `help:"A time."`
	Size   int64             `type:"size" env:"PROBE_SIZE" help:"A size."`
	Label  map[string]string `help:"Labels."`
	Sure   bool              `help:"Whether."`
	Form   string            `enum:",a,b" default:"" help:"One of two."`
	Need   string            `required:"" help:"Must be given."`
	This   bool              `xor:"one" help:"One."`
	That   bool              `xor:"one" help:"Or the other."`
	Inputs []string          `arg:"" help:"Inputs."`
}

func (*usages) Run(*Env) error { return nil }

// TestUsage has what a user is told of words on the command line: without the types of Go.
func TestUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--need=x in --name", "--name: value is missing"},
		{"--need=x in --name --sure", `--name: value is missing: "--sure" looks like a flag; --name=--sure makes it the value`},
		{"--need=x in --count -1", `--count: value is missing: "-1" looks like a flag; --count=-1 makes it the value`},
		{"--need=x in --count abc", `--count: "abc" is not a whole number`},
		{"--need=x in --count 9223372036854775808", `--count: "9223372036854775808" is too large`},
		{"--need=x in --digest abc", "--digest: not a digest: want sha256: and 64 hex digits"},
		{"--need=x in --digest sha256:abc", "--digest: not a digest: want sha256: and 64 hex digits"},
		{"--need=x in --digest md5:abc", "--digest: not a digest: want sha256: and 64 hex digits"},
		{"--need=x in --wait abc", `--wait: "abc" is not a time such as 500ms, 30s or 5m`},
		{"--need=x in --label abc", `--label: "abc" is not NAME=VALUE`},
		{"--need=x in --sure=3", `--sure: "3" is neither true nor false`},
		{"--need=x in --form=c", `--form: "c" is none of a, b`},
		{"--need=x in --this --that", "--this and --that exclude each other"},
		{"--need=x", "argument is missing: <inputs> ..."},
		{"--need=x in NONE", "argument is empty: <inputs> ..."},
		{"in", "flag is missing: --need=STRING"},
		{"PROBE_SIZE --need=x in", `$PROBE_SIZE: "abc" is not a size: want bytes, or 64K, 64M, 4GiB`},
	} {
		t.Run(c.args, func(t *testing.T) {
			args, env := strings.CutPrefix(c.args, "PROBE_SIZE ")
			if env {
				t.Setenv("PROBE_SIZE", "abc")
			}
			words := strings.Fields(args)
			for i := range words {
				words[i] = strings.ReplaceAll(words[i], "NONE", "")
			}
			var said bytes.Buffer
			code := Run(Manual{Name: "probe", Summary: "Probe."}, &usages{}, words, Streams{Stderr: &said})
			if want := "probe: " + c.want + "\nprobe: hint: see probe --help\n"; code != 2 || said.String() != want {
				t.Errorf("code %d, said\n%s, want\n%s", code, said.String(), want)
			}
		})
	}
}
