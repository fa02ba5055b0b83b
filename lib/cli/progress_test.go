package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
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
