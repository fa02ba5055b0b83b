package cli

import (
	"strings"
	"testing"
)

var probeManual = Manual{
	Name:        "probe",
	Summary:     "Do as it is told.",
	Needs:       "Linux 2.6 and later run it, on every machine that has a processor and some memory.",
	Description: "First paragraph, with a -dash and a \\ in it. Its 'second' sentence.\n\n.Second paragraph:\n\n    probe --do=copy 'in file'\n    .dots\n\nThird.",
	Arguments:   "It may be missing.",
	Flags:       map[string]string{"do": "Whatever it is. It is done."},
	Examples: []Example{
		{"Copy a file", "probe --do=copy -o out in"},
		{"Copy it slowly", "probe in |\n    probe -o out"},
	},
	Env:     []Term{{"PROBE", "A variable."}},
	Files:   []Term{{"~/.probe", "A file."}},
	SeeAlso: []string{"mandoc", "man(7)", "bash"},
	Network: true,
}

// printedBy is what the probe prints.
func printedBy(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", args, err)
	}
	return string(out)
}

func TestHelpText(t *testing.T) {
	t.Setenv("COLUMNS", "200")
	help := printedBy(t, "--help")
	if short := printedBy(t, "-h"); short != help {
		t.Errorf("-h prints\n%s\nand --help\n%s", short, help)
	}
	for _, want := range []string{
		"Usage: probe [<in>] [flags]\n\nDo as it is told.\n\nLinux 2.6 and later run it, on every machine that has a processor and some\nmemory.\n\nArguments:\n",
		"\n\nOptions:\n", "\n\nOutput:\n", "\n\nOther:\n", "--mode=fast|slow",
		"\nExamples:\n  # Copy a file\n  probe --do=copy -o out in\n  # Copy it slowly\n  probe in |\n      probe -o out\n",
		"\nExit codes:\n  0 done, 1 failed, 2 wrong usage, 75 network failed: try again, 128+n signal n\n",
		"man probe\n",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("--help does not say %q:\n%s", want, help)
		}
	}
	for _, line := range strings.Split(help, "\n") {
		if len(line) > 80 {
			t.Errorf("--help has a line of %d bytes: %s", len(line), line)
		}
	}
	if strings.Contains(help, "--man") || strings.Contains(help, "--completion") {
		t.Errorf("--help shows what is for packagers:\n%s", help)
	}
}

func TestManualOfNoFlag(t *testing.T) {
	m := probeManual
	m.Flags = map[string]string{"other": "There is none."}
	defer func() {
		if p := recover(); p != "probe: there is no flag --other to explain" {
			t.Errorf("panic is %v", p)
		}
	}()
	Run(m, &probe{}, nil, Streams{})
}
