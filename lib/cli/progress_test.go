package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// progress plays the work that --bars names.
func (p *probe) progress(env *Env) error {
	prog := env.Progress()
	pause := func() { time.Sleep(2*linesEvery - linesEvery/2) }
	if prog.isAuto {
		pause = func() { time.Sleep(showAfter + 2*barsEvery) }
	}
	switch p.Bars {
	case "ends":
		late := prog.Queue("late", 7)
		a := prog.Start("a", 1000, "digest", "sha256:00", "layer", "0")
		a.Resume(100)
		a.Add(300)
		pause()
		a.Retry(2, 1500*time.Millisecond, errors.New("con\nnection\x1b reset"))
		pause()
		late.Begin() // shown before the end of a, whether or not a look comes between
		a.Set(1000)
		a.Done(nil)
		a.Done(errors.New("too late"))
		prog.Queue("b", 0).Skip("cached")
		prog.Start("c", 50).Done(errors.New("digest is wrong"))
		return nil
	case "fail", "hang", "pipe":
		for i := range 3 {
			prog.Start(fmt.Sprintf("layer %d", i), 1000).Add(500)
		}
		pause()
		if p.Bars == "hang" {
			fmt.Fprintln(env.Stdout, "ready")
			select {}
		}
		if p.Bars == "pipe" {
			return p.fill(env)
		}
		return errors.New("a/b: entry: bad")
	case "warn": // from several goroutines, while bars come and go
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				for j := range 8 {
					b := prog.Start(fmt.Sprintf("layer %d.%d", i, j), 1000)
					for range 10 {
						b.Add(100)
						time.Sleep(6 * time.Millisecond)
					}
					env.Warn(fmt.Sprintf("odd %d.%d", i, j))
					b.Done(nil)
				}
			})
		}
		wg.Wait()
		return nil
	case "busy": // far more than a pipe or a terminal holds
		for i := range 3000 {
			prog.Start(fmt.Sprintf("layer %d %s", i, strings.Repeat("x", 100)), 1000).Add(10)
		}
		pause()
		return nil
	}
	return Usage("--bars=%s", p.Bars)
}

// fill writes to standard output as long as that goes well.
func (p *probe) fill(env *Env) error {
	out, err := env.Stream("-", Binary)
	for err == nil {
		_, err = out.Write(make([]byte, blockSize))
	}
	time.Sleep(4 * time.Minute) // the process is expected to have ended
	return err
}

// pty makes a pseudo terminal of so many rows.
func pty(t *testing.T, rows uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	var n int
	err = control(master, func(fd int) (err error) {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: 80}); err != nil {
			return err
		}
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// onTerminal starts the probe with a terminal of its own as standard error, and
// the environment env. What the terminal shows is sent once the probe has ended.
func onTerminal(t *testing.T, rows uint16, cmd *exec.Cmd) (shown func() string) {
	t.Helper()
	master, slave := pty(t, rows)
	cmd.Stderr = slave
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 2}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	raw := make(chan string)
	go func() {
		b, _ := io.ReadAll(master) // ends with EIO when the last has closed it
		raw <- string(b)
	}()
	return func() string {
		cmd.Wait()
		select {
		case s := <-raw:
			return s
		case <-time.After(2 * time.Minute):
			t.Fatal("the terminal is still open")
			return ""
		}
	}
}

var escape = regexp.MustCompile(`^\x1b\[(\d*)([A-Za-z])`)

// screen returns what a terminal shows after raw, with the lines that have scrolled away. It
// fails t for lines wider than the terminal and for unknown escape sequences.
func screen(t *testing.T, raw string, rows int) []string {
	t.Helper()
	lines := []string{""}
	top, y, x := 0, 0, 0
	for len(raw) > 0 {
		switch m := escape.FindStringSubmatch(raw); {
		case m != nil:
			n, _ := strconv.Atoi(m[1])
			switch m[2] {
			case "A":
				y = max(y-max(n, 1), top)
			case "J":
				lines = lines[:y+1]
				lines[y] = lines[y][:min(x, len(lines[y]))]
			default:
				t.Fatalf("the terminal gets %q", m[0])
			}
			raw = raw[len(m[0]):]
			continue
		case raw[0] == '\r':
			x = 0
		case raw[0] == '\n':
			y++
			if y == len(lines) {
				lines = append(lines, "")
			}
			top = max(top, y-rows+1)
		case raw[0] < ' ':
			t.Fatalf("the terminal gets %q", raw[0])
		default:
			if x != len(lines[y]) {
				lines[y] = lines[y][:x] // nothing of ours writes over other text
			}
			lines[y] += raw[:1]
			x++
		}
		raw = raw[1:]
	}
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// playing is the probe that plays some work.
func playing(t *testing.T, args ...string) *exec.Cmd {
	return command(t, append([]string{"--do=progress"}, args...)...)
}

func TestBars(t *testing.T) {
	t.Parallel()
	cmd := playing(t, "--bars=ends")
	raw := onTerminal(t, 24, cmd)()
	if s := statusOf(cmd); s != "0" {
		t.Fatalf("status %s: %q", s, raw)
	}
	for _, part := range []string{"a [", "==>", "]      400 B / 1000 B ", " B/s ", `retry 2 in 1.5s: con; nection\033 reset`} {
		if !strings.Contains(raw, part) {
			t.Errorf("no %q in %q", part, raw)
		}
	}
	if lines := screen(t, raw, 24); len(lines) != 0 {
		t.Errorf("left on the screen: %q", lines)
	}
}

func TestBarsOfFailure(t *testing.T) {
	t.Parallel()
	cmd := playing(t, "--bars=fail")
	raw := onTerminal(t, 24, cmd)()
	lines := screen(t, raw, 24)
	if s := statusOf(cmd); s != "1" || !slices.Equal(lines, []string{"probe: a/b: entry: bad"}) || !strings.Contains(raw, "layer 2") {
		t.Errorf("status %s, screen %q, from %q", s, lines, raw)
	}
}

func TestBarsOfSignal(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := playing(t, "--bars=hang")
		ready, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		shown := onTerminal(t, 24, cmd)
		io.ReadFull(ready, make([]byte, len("ready\n")))
		cmd.Process.Signal(sig)
		raw := shown()
		if s := statusOf(cmd); s != sig.String() || len(screen(t, raw, 24)) != 0 || !strings.Contains(raw, "layer 2") {
			t.Errorf("status %s, screen %q", s, screen(t, raw, 24))
		}
	}
}

// TestBarsAndWarnings: no warning is torn or lost, nothing else remains, and on a
// low terminal some bars are just not seen.
func TestBarsAndWarnings(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{24, 6, 1} {
		cmd := playing(t, "--bars=warn")
		raw := onTerminal(t, uint16(rows), cmd)()
		var want []string
		for i := range 12 {
			for j := range 8 {
				want = append(want, fmt.Sprintf("probe: warning: odd %d.%d", i, j))
			}
		}
		lines := screen(t, raw, rows)
		slices.Sort(want)
		slices.Sort(lines)
		if !slices.Equal(lines, want) {
			t.Errorf("%d rows: %q", rows, lines)
		}
		if strings.Contains(raw, "layer ") != (rows > 2) {
			t.Errorf("%d rows: bars are, or are not, shown", rows)
		}
	}
}

// TestBarsAndLastWords: what a tool says just before it ends is on the terminal,
// whether or not it had bars.
func TestBarsAndLastWords(t *testing.T) {
	t.Parallel()
	for range 40 {
		cmd := playing(t, "--bars=none")
		if raw := onTerminal(t, 24, cmd)(); raw != "probe: --bars=none\r\n" || statusOf(cmd) != "2" {
			t.Fatalf("status %s: %q", statusOf(cmd), raw)
		}
	}
}

// TestBarsElsewhere: messages go to standard error wherever the bars are.
func TestBarsElsewhere(t *testing.T) {
	t.Parallel()
	const fails = "probe: a/b: entry: bad"
	master, slave := pty(t, 24)
	cmd := playing(t, "--bars=fail", "--progress=tty", "--progress-fd=3")
	cmd.ExtraFiles = []*os.File{slave}
	if status, stderr := run(t, cmd); status != "1" || stderr != fails+"\n" {
		t.Errorf("status %s: %q", status, stderr)
	}
	slave.Close()
	raw, _ := io.ReadAll(master)
	if lines := screen(t, string(raw), 24); len(lines) != 0 || !strings.Contains(string(raw), "layer 2") {
		t.Errorf("screen %q, from %q", lines, raw)
	}

	file, err := os.Create(filepath.Join(t.TempDir(), "events"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd = playing(t, "--bars=warn", "--progress=tty", "--progress-fd=3")
	cmd.ExtraFiles = []*os.File{file}
	if _, stderr := run(t, cmd); strings.Count(stderr, "probe: warning: odd ") != 96 {
		t.Errorf("%q", stderr)
	}
}

// TestDrawing: lines fit, also where they are narrow or names are wide.
func TestDrawing(t *testing.T) {
	now := time.Unix(100, 0)
	var list []*Bar
	for i, name := range []string{"a", "\u540d\u524d.tar", "much longer than all the others " + strings.Repeat("x", 100), "\u0435\u0301"} {
		b := &Bar{name: name}
		b.beginAt(now)
		b.total.Store([]int64{1000, 0, 1000, 1000}[i])
		b.Set([]int64{500, 500, 1000, 1 << 62}[i])
		b.sample(now)
		list = append(list, b)
	}
	for cols := range 200 {
		text, back := strings.CutSuffix(string(drawing(list, cols)), "\r\x1b[4A")
		lines := strings.Split(text, "\n")
		if !back || len(lines) != 1+len(list) {
			t.Fatalf("%d columns: %q", cols, lines)
		}
		for _, line := range lines {
			if width(line) > cols || !utf8.ValidString(line) {
				t.Errorf("%d columns: %q", cols, line)
			}
		}
	}
	want := "" +
		"\na                          [=>   ]      500 B / 1000 B            0 B/s         " +
		"\n\u540d\u524d.tar                                500 B                     0 B/s         " +
		"\nmuch longer than all the o [=====]     1000 B / 1000 B            0 B/s         " +
		"\n\u0435\u0301                         [=====]    4.0 EiB / 1000 B            0 B/s         \r\x1b[4A"
	if got := string(drawing(list, 80)); got != want {
		t.Errorf("\n%s want\n%s", got, want)
	}
}

// TestBarsAmongOthers: what another process prints on the terminal stays.
func TestBarsAmongOthers(t *testing.T) {
	t.Parallel()
	cmd := playing(t, "--bars=hang")
	cmd.Args = append([]string{"sh", "-c", `trap : INT; "$0" "$@" | { read _; echo "tree2x: bad" >&2; sleep 0.5; kill -INT 0; }`}, cmd.Args...)
	cmd.Path = "/bin/sh"
	raw := onTerminal(t, 24, cmd)()
	_, after, _ := strings.Cut(raw, "tree2x: bad")
	if lines := screen(t, raw, 24); !slices.Equal(lines, []string{"tree2x: bad"}) || !strings.Contains(after, "layer 2") {
		t.Errorf("screen %q, from %q", lines, raw)
	}
}

// TestBarsOfClosedPipe: a tool that dies because its reader has left takes its bars away.
func TestBarsOfClosedPipe(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := playing(t, "--bars=pipe")
	cmd.Stdout = w
	shown := onTerminal(t, 24, cmd)
	w.Close()
	io.ReadFull(r, make([]byte, 1))
	r.Close()
	raw := shown()
	if s, lines := statusOf(cmd), screen(t, raw, 24); s != syscall.SIGPIPE.String() || len(lines) != 0 || !strings.Contains(raw, "layer 2") {
		t.Errorf("status %s, screen %q", s, lines)
	}
}

// TestBarsInBackground: a job in the background does not draw over another's work.
func TestBarsInBackground(t *testing.T) {
	t.Parallel()
	cmd := playing(t, "--bars=fail")
	cmd.Args = append([]string{"sh", "-c", `set -m; "$0" "$@" & wait $!`}, cmd.Args...)
	cmd.Path = "/bin/sh"
	if raw := onTerminal(t, 24, cmd)(); raw != "probe: a/b: entry: bad\r\n" {
		t.Errorf("%q", raw)
	}
}

// TestProgressAuto: when bars are drawn without a flag.
func TestProgressAuto(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("input"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		args  []string
		env   string
		shows string // of what the terminal gets
	}{
		{"terminal", nil, "", "["},
		{"none", []string{"--progress=none"}, "", ""},
		{"quiet", []string{"--quiet"}, "", ""},
		{"quiet, but asked for", []string{"--quiet", "--progress=tty"}, "", "["},
		{"dumb", nil, "TERM=dumb", "probe: layer 0: 500 B of 1000 B (50 %)\r\n"},
		{"unknown", nil, "TERM=", "probe: layer 0: 500 B of 1000 B (50 %)\r\n"},
		{"plain", []string{"--progress=plain"}, "", "probe: layer 0: 500 B of 1000 B (50 %)\r\n"},
		{"json", []string{"--progress=json"}, "", `"event":"start"`},
		{"nobody's", nil, "NOBODY=", "probe: layer 0: 500 B of 1000 B (50 %)\r\n"},
		{"nobody's, but asked for", []string{"--progress=tty"}, "NOBODY=", "["},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := playing(t, append(c.args, "--bars=fail")...)
			shown := func() string {
				master, slave := pty(t, 24)
				cmd.Stderr = slave
				cmd.Env = append(cmd.Env, "TERM=xterm", c.env)
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: c.env != "NOBODY=", Ctty: 2}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				slave.Close()
				raw, _ := io.ReadAll(master)
				cmd.Wait()
				return string(raw)
			}()
			const fails = "probe: a/b: entry: bad\r\n"
			if c.shows == "" && shown != fails || !strings.Contains(shown, c.shows) || !strings.HasSuffix(shown, fails) {
				t.Errorf("%q", shown)
			}
		})
	}
	t.Run("not a terminal", func(t *testing.T) {
		if _, stderr := run(t, playing(t, "--bars=fail")); stderr != "probe: a/b: entry: bad\n" {
			t.Errorf("%q", stderr)
		}
	})
}

// TestProgressMuted: a filter that reads a pipe, or writes to the terminal, draws no bars
// on it.
func TestProgressMuted(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	_, tty := pty(t, 24)
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		name        string
		args        []string
		stdin, stdo *os.File
		hidden      bool
	}{
		{"file to file", nil, file, file, false},
		{"from a pipe", nil, r, file, true},
		{"to a terminal", []string{"--text"}, file, tty, true},
		{"from a pipe, asked for", []string{"--progress=tty"}, r, file, false},
	} {
		_, stderr := pty(t, 24)
		t.Setenv("TERM", "xterm")
		env := newEnv("probe", Streams{c.stdin, c.stdo, stderr})
		if _, err := env.parse(&Manual{Name: "probe"}, &probe{}, c.args); err != nil {
			t.Fatal(err)
		}
		if _, err := env.Open("-"); err != nil {
			t.Fatal(err)
		}
		if _, err := env.Stream("-", Kind(c.stdo == file)); err != nil && c.stdo != file {
			t.Fatal(err)
		}
		if h := env.progress.isHidden(time.Now()); h != c.hidden {
			t.Errorf("%s: hidden %v", c.name, h)
		}
		env.end(true)
	}
}

// TestProgressAfterOthers: a filter that still works shows bars once the tool before it has
// ended, and its bars are gone.
func TestProgressAfterOthers(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p := newProgress(&jsonLines{tool: "t", out: io.Discard}, time.Hour)
	p.isAuto = true
	p.input(r, info)
	now := time.Now()
	w.Write([]byte("data"))
	if !p.isHidden(now) || !p.isHidden(now.Add(time.Hour)) {
		t.Error("not hidden while another tool writes")
	}
	w.Close()
	if !p.isHidden(now) || !p.isHidden(now.Add(showAfter-1)) {
		t.Error("not hidden just behind the other tool")
	}
	if p.isHidden(now.Add(showAfter)) {
		t.Error("hidden although no other tool is there")
	}
	r.Close() // read to its end
	if p.isHidden(now.Add(showAfter)) {
		t.Error("hidden once the pipe is closed")
	}
	p.finish(true, time.Second)
}

// events runs the probe and returns the JSON that it writes to descriptor 3.
func events(t *testing.T, args ...string) []map[string]any {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "events"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := command(t, append(args, "--progress-fd=3")...)
	cmd.ExtraFiles = []*os.File{file}
	if status, stderr := run(t, cmd); status != "0" || stderr != "" {
		t.Fatalf("status %s: %s", status, stderr)
	}
	b, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return parseEvents(t, b)
}

func parseEvents(t *testing.T, b []byte) (list []map[string]any) {
	t.Helper()
	for _, line := range bytes.SplitAfter(b, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		m := map[string]any{}
		if err := json.Unmarshal(line, &m); err != nil || line[len(line)-1] != '\n' {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, m)
	}
	return list
}

func TestProgressJSON(t *testing.T) {
	t.Parallel()
	got := map[string]string{} // by name; what comes between, and when, is up to the clock
	for _, e := range events(t, "--do=progress", "--bars=ends") {
		if e["tool"] != "probe" || e["elapsed"].(float64) < 0 || e["rate"].(float64) < 0 {
			t.Errorf("%v", e)
		}
		at, name := e["done"], e["name"].(string)
		switch e["event"] {
		case "progress":
			continue
		case "queued":
			if name != "late" {
				continue
			}
		case "start":
			at = "?"
			if e["name"] == "a" && (e["digest"] != "sha256:00" || e["layer"] != "0") {
				t.Errorf("%v", e)
			}
		case "retry":
			if e["attempt"] != 2.0 || e["wait"] != 1.5 || e["error"] != `con; nection\033 reset` {
				t.Errorf("%v", e)
			}
		case "skipped":
			if e["reason"] != "cached" {
				t.Errorf("%v", e)
			}
		case "failed":
			if e["error"] != "digest is wrong" {
				t.Errorf("%v", e)
			}
		}
		got[name] += fmt.Sprintf("%v %v %v %v; ", e["event"], e["id"], at, e["total"])
	}
	want := map[string]string{
		"late": "queued 1 0 7; start 1 ? 7; ",
		"a":    "start 2 ? 1000; retry 2 400 1000; done 2 1000 1000; ",
		"b":    "skipped 3 0 <nil>; ",
		"c":    "start 4 ? 50; failed 4 0 50; ",
	}
	if !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestProgressPlain(t *testing.T) {
	t.Parallel()
	status, stderr := run(t, playing(t, "--progress=plain", "--bars=ends"))
	want := `^probe: a: 400 B of 1000 B \(40 %\)
probe: a: retry 2 in 1\.5s: con; nection\\033 reset
probe: late: 0 B of 7 B \(0 %\)
probe: a: done, 1000 B in .*s
probe: b: cached
probe: c: 0 B of 50 B \(0 %\)
probe: c: digest is wrong
$`
	if status != "0" || !regexp.MustCompile(want).MatchString(stderr) {
		t.Errorf("status %s: %s", status, stderr)
	}
}

// TestProgressPlainSteps: lines come with every tenth, and in time without.
func TestProgressPlainSteps(t *testing.T) {
	var out bytes.Buffer
	d := &plain{tool: "t", out: &out}
	b := &Bar{name: "x"}
	b.total.Store(100 << 20)
	now := time.Unix(0, 0)
	b.beginAt(now)
	at := func(after time.Duration, mib int64) {
		b.Set(mib << 20)
		b.sample(now.Add(after))
		d.draw(now.Add(after), []*Bar{b}, false)
	}
	at(0, 0)
	at(500*time.Millisecond, 30)
	at(1*time.Second, 40) // a tenth, and a second
	at(3*time.Second, 41)
	at(7*time.Second, 42) // six seconds
	at(20*time.Second, 42)
	want := "t: x: 0 B of 100.0 MiB (0 %)\n" +
		"t: x: 40.0 MiB of 100.0 MiB (40 %), 40.0 MiB/s, 1.5s left\n" +
		"t: x: 42.0 MiB of 100.0 MiB (42 %), 256.0 KiB/s, 3m52s left\n" // over the last four seconds
	if got := out.String(); got != want {
		t.Errorf("%s want %s", got, want)
	}
}

// TestProgressStuck: the work ends although the display is not read.
func TestProgressStuck(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, form := range []string{"json", "plain"} {
		cmd := playing(t, "--bars=busy", "--progress-fd=3", "--progress="+form)
		cmd.ExtraFiles = []*os.File{w}
		ends(t, cmd)
	}
	cmd := playing(t, "--bars=busy")
	master, slave := pty(t, 2000)
	cmd.Stderr = slave
	cmd.Env = append(cmd.Env, "TERM=xterm")
	ends(t, cmd)
	master.Close()
}

// ends checks that cmd ends with success.
func ends(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Run(); err != nil {
		t.Errorf("%q: %v", cmd.Args, err)
	}
}

// TestProgressGone: the work ends with success although the reader of the display has left.
func TestProgressGone(t *testing.T) {
	t.Parallel()
	for _, fd := range []string{"2", "3"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd := playing(t, "--bars=ends", "--progress=json", "--progress-fd="+fd)
		if fd == "2" {
			cmd.Stderr = w
		}
		cmd.ExtraFiles = []*os.File{w}
		ends(t, cmd)
		w.Close()
	}
}

func TestProgressDescriptor(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for fd, says := range map[string]string{
		"-1": "is not open", "99": "is not open", "1": "carries the data", "3": "is not open for writing", "4": "is not a file, a pipe", "x": "",
	} {
		cmd := playing(t, "--bars=ends", "--progress-fd="+fd)
		cmd.ExtraFiles = []*os.File{r, dir}
		if status, stderr := run(t, cmd); status != "2" || !strings.Contains(stderr, says) {
			t.Errorf("%s: status %s: %s", fd, status, stderr)
		}
	}
}

// ended counts how often the end of each bar is shown.
type ended map[int]int

func (d ended) say([]byte) bool { return false }

func (d ended) draw(_ time.Time, bars []*Bar, _ bool) {
	for _, b := range bars {
		if b.view.state.over {
			d[b.id]++
		}
	}
}

// TestBarEndsOnce: the end of a bar is shown once, even if it ends while it is sampled.
func TestBarEndsOnce(t *testing.T) {
	d := ended{}
	p := newProgress(d, time.Microsecond)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25_000 {
				p.Start("x", 0).Done(nil)
			}
		})
	}
	wg.Wait()
	p.finish(true, time.Minute)
	for id, n := range d {
		if n != 1 {
			t.Fatalf("the end of bar %d was shown %d times", id, n)
		}
	}
	if len(d) != 100_000 {
		t.Errorf("%d bars ended", len(d))
	}
}

// TestWatch: what is shown of tools that show nothing themselves.
func TestWatch(t *testing.T) {
	const n = 1000
	dir := t.TempDir()
	open := func(name string) *os.File {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, n), 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	var out bytes.Buffer
	p := newProgress(&jsonLines{tool: "t", out: &out}, time.Hour)
	written := int64(0)
	a, b := open("a"), open("b")
	for _, f := range []*os.File{a, b} {
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		p.input(f, info)
	}
	p.output(a, func() int64 { return written })
	var shown []string
	look := func() {
		out.Reset()
		now := time.Now().Add(time.Hour) // so that every change is shown
		for _, bar := range p.bars {
			bar.view.last = time.Time{}
		}
		p.update(now, false)
		for _, e := range parseEvents(t, out.Bytes()) {
			shown = append(shown, fmt.Sprint(e["event"], " ", e["name"], " ", e["done"], " of ", e["total"]))
		}
		shown = append(shown, "")
	}
	look()
	io.ReadFull(a, make([]byte, 300))
	look()
	a.Close() // counts as read
	look()
	io.ReadAll(b)
	written = 700
	look()
	p.watch.ended = time.Time{}.Add(time.Hour) // long ago
	look()
	written = 0 // closed, too
	look()
	p.watch.update(p, true)
	look()
	want := []string{
		"", "start read inputs 300 of 2000", "", "progress read inputs 1000 of 2000", "", "done read inputs 2000 of 2000", "",
		"start written 700 of <nil>", "", "", "done written 700 of <nil>", "",
	}
	if !slices.Equal(shown, want) {
		t.Errorf("%q, want %q", shown, want)
	}
	p.finish(true, time.Second)
}

// TestWatchAfterBars: what a tool writes after its bars is shown, with its total.
func TestWatchAfterBars(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&jsonLines{tool: "t", out: &out}, time.Hour)
	written := int64(5)
	p.output(os.Stderr, func() int64 { return written })
	p.expect(100)
	bar := p.Start("layer", 10)
	var shown []string
	look := func() {
		out.Reset()
		p.update(time.Now().Add(time.Hour), false)
		for _, e := range parseEvents(t, out.Bytes()) {
			shown = append(shown, fmt.Sprint(e["event"], " ", e["name"], " ", e["total"]))
		}
		shown = append(shown, "")
	}
	long := time.Time{}.Add(time.Hour)
	p.watch.ended = long
	look()
	bar.Set(10)
	bar.Done(nil)
	look()
	look()
	p.watch.ended = long
	look()
	p.watch.update(p, true)
	look()
	want := []string{"start layer 10", "", "done layer 10", "", "", "start written 100", "", "done written 100", ""}
	if !slices.Equal(shown, want) {
		t.Errorf("%q, want %q", shown, want)
	}
	p.finish(true, time.Second)
}

// TestWatchRandom: for a file that is read at random the bytes that are written are shown.
func TestWatchRandom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(path, make([]byte, 1000), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{}, {"--image", "-o", path + ".out"}} {
		var last map[string]any
		for _, e := range events(t, append(args, path)...) {
			last = e
		}
		if last["event"] != "done" || last["name"] != "written" || last["done"].(float64) < 1000 {
			t.Errorf("%q: %v", args, last)
		}
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB", 5 << 40: "5.0 TiB", 1<<63 - 1: "8.0 EiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 1234 * time.Millisecond: "1.2s", 90*time.Second + 1: "1m30s", 2 * time.Hour: "2h0m", 99*time.Hour + 5*time.Minute: "99h5m", 1 << 60: "days",
	} {
		if got := rounded(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
