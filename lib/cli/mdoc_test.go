package cli

import (
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"ocipipe/lib/reftest"
)

func TestPage(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	page := printedBy(t, "--man")
	for _, want := range []string{
		".Dd January 2, 1970\n.Dt PROBE 1\n", ".Nd do as it is told\n", ".Nm\n.Op Ar options\n.Op Ar in\n",
		"with a \\-dash and a \\e in it.\nIts 'second' sentence.\n.Pp\n\\&.Second paragraph:\n",
		".Bd -literal -offset indent\nprobe \\-\\-do=copy \\(aqin file\\(aq\n\\&.dots\n.Ed\n.Pp\nThird.\n",
		".It Fl o , Fl \\-output Ns = Ns Ar FILE\n", ".It Fl \\-image\n",
		"What to do (default copy).\nWhatever it is.\nIt is done.\n",
		".It Ev PROBE\n", ".It Ev TMPDIR\n", ".It Ev SOURCE_DATE_EPOCH\n", ".It Pa \\(ti/.probe\n", ".It 75\n",
		".Xr bash 1 ,\n.Xr mandoc 1 ,\n.Xr man 7\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the man page does not have %q:\n%s", want, page)
		}
	}
	lint(t, page)
}

// lint has mandoc look at a man page.
func lint(t *testing.T, page string) {
	t.Helper()
	reftest.Need(t, "mandoc")
	if said, err := reftest.TryInput(t, []byte(page), "mandoc", "-Tlint"); err != nil || said != "" {
		t.Errorf("mandoc: %v: %s\n%s", err, said, page)
	}
}

func TestPageOfWrongEpoch(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "today")
	status, stderr := run(t, command(t, "--man"))
	if status != "2" || !strings.Contains(stderr, "SOURCE_DATE_EPOCH") {
		t.Errorf("exit code %s: %s", status, stderr)
	}
}

func TestPageDate(t *testing.T) {
	epoch := int64(86400)
	built := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.time", Value: "2024-01-31T23:00:00-02:00"}}}
	for _, c := range []struct {
		epoch *int64
		info  *debug.BuildInfo
		want  string
	}{
		{&epoch, built, "1970-01-02"},
		{nil, built, "2024-02-01"},
		{nil, &debug.BuildInfo{}, "1970-01-01"},
		{nil, nil, "1970-01-01"},
	} {
		if got := pageDate(c.epoch, c.info).Format(time.DateOnly); got != c.want {
			t.Errorf("date is %s, want %s", got, c.want)
		}
	}
}
