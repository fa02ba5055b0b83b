package cli

import (
	"math"
	"os"
	"runtime/debug"
	"slices"
	"testing"
)

func TestTime(t *testing.T) {
	for _, c := range []struct {
		text string
		want Time
	}{
		{"0", Time{}},
		{"1700000000", Time{1700000000, 0}},
		{"1.5", Time{1, 500000000}},
		{"1.000000001", Time{1, 1}},
		{"-1", Time{-1, 0}},
		{"-1.5", Time{-2, 500000000}},
		{"-0.25", Time{-1, 750000000}},
		{"9223372036854775807", Time{math.MaxInt64, 0}},
		{"1970-01-01T00:00:01Z", Time{1, 0}},
		{"2024-01-31T12:00:00.000000009+02:00", Time{1706695200, 9}},
		{"1969-12-31T23:59:58.5Z", Time{-2, 500000000}},
	} {
		var got Time
		if err := got.UnmarshalText([]byte(c.text)); err != nil || got != c.want {
			t.Errorf("%s = %v, %v; want %v", c.text, got, err, c.want)
		}
	}
	for _, bad := range []string{"", " 1", "1 ", "+1", "1.", ".5", "-.5", "1.0000000001", "1.-5", "1.+5", "1e3", "0x1", "now", "2024-01-31", "9223372036854775808", "-9223372036854775808.5"} {
		var got Time
		if err := got.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q passed as %v", bad, got)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "64K": 64 << 10, "64M": 64 << 20, "4GiB": 4 << 30, "2T": 2 << 40, "1KiB": 1024,
		"9223372036854775807": math.MaxInt64, "8388607T": 8388607 << 40,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "K", "-1", "+1", "1.5M", "5KB", "5kb", "5 M", "M5", "8388608T", "9223372036854775808", "1KK"} {
		if got, err := ParseSize(bad); err == nil {
			t.Errorf("%q passed as %d", bad, got)
		}
	}
}

// TestFlagValues: what kong puts into the struct.
func TestFlagValues(t *testing.T) {
	cmd := command(t, "--do=values", "--limit=3KiB", "--mtime=-1.5")
	cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH=77")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := "3072 {-2 500000000} "; string(out[:len(want)]) != want {
		t.Errorf("%q, want %q", out, want)
	}
}

func TestSourceDateEpoch(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1700000000": 1700000000, "253402300799": 253402300799} {
		if got, err := sourceDateEpoch(text); err != nil || got == nil || *got != want {
			t.Errorf("%s = %v, %v", text, got, err)
		}
	}
	if got, err := sourceDateEpoch(""); got != nil || err != nil {
		t.Errorf("empty = %v, %v", got, err)
	}
	for _, bad := range []string{"-1", "+1", "1.5", " 1", "now", "253402300800", "99999999999999999999"} {
		if got, err := sourceDateEpoch(bad); err == nil {
			t.Errorf("%q passed as %d", bad, *got)
		}
	}
	cmd := command(t)
	cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH=yesterday")
	status, stderr := run(t, cmd)
	if want := "probe: SOURCE_DATE_EPOCH: \"yesterday\" is not a number of seconds since 1970\n"; status != "2" || stderr != want {
		t.Errorf("%s, %q", status, stderr)
	}
}

func TestVersionText(t *testing.T) {
	info := func(version string, settings ...string) *debug.BuildInfo {
		b := &debug.BuildInfo{Main: debug.Module{Version: version}}
		for i := 0; i < len(settings); i += 2 {
			b.Settings = append(b.Settings, debug.BuildSetting{Key: settings[i], Value: settings[i+1]})
		}
		return b
	}
	for _, c := range []struct {
		info *debug.BuildInfo
		want string
	}{
		{nil, "(unknown)"},
		{info(""), "(devel)"},
		{info("(devel)"), "(devel)"},
		{info("v1.2.3"), "v1.2.3"},
		{info("(devel)", "vcs.revision", "0123456789abcdef", "vcs.modified", "false"), "(devel) (0123456789ab)"},
		{info("v1.2.3", "vcs.revision", "0123456789abcdef", "vcs.modified", "true"), "v1.2.3 (0123456789ab, modified)"},
		{info("v0.0.0-20240102030405-0123456789ab+dirty", "vcs.revision", "0123456789abcdef", "vcs.modified", "true"), "v0.0.0-20240102030405-0123456789ab+dirty"},
	} {
		if got := versionText(c.info); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

type namesTool struct {
	Args  []string `arg:"" optional:""`
	Text  string
	List  []string `sep:"none"`
	Maybe *string
	In    Ordered
	Form  Optional
}

func (t *namesTool) Run(*Env) error { return nil }

// Names of files are any bytes.
func TestFlagBytes(t *testing.T) {
	const name = "a\xe9\n\u202e<&>"
	tool := new(namesTool)
	args := []string{"--text", name, "--list=" + name, "--list", name, "--maybe=" + name, "--in", name, "--form=" + name, name, name}
	if code := Run(Manual{Name: "names"}, tool, args, Streams{Stdout: os.Stdout, Stderr: os.Stderr}); code != 0 {
		t.Fatal(code)
	}
	if tool.Text != name || !slices.Equal(tool.List, []string{name, name}) || *tool.Maybe != name || tool.In[0].Value != name ||
		tool.Form.Value != name || !slices.Equal(tool.Args, []string{name, name}) {
		t.Errorf("%#v", *tool)
	}
}
