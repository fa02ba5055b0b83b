package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"
	"time"

	"ocipipe/lib/reftest"
)

// The test binary is also the tool that the tests run.
func TestMain(m *testing.M) {
	switch os.Getenv("CLI_TEST_PROBE") {
	case "1":
		Main(probeManual, &probe{})
	case "commands":
		Main(severalManual, &several{})
	}
	os.Exit(m.Run())
}

type probe struct {
	Output
	Temp
	Do    string   `default:"copy" placeholder:"WHAT" help:"What to do."`
	Mode  string   `enum:"fast,slow" default:"fast" placeholder:"fast|slow" help:"How fast."`
	Image bool     `help:"Write at random."`
	Text  bool     `help:"The data is text."`
	Limit int64    `type:"size" default:"64M" placeholder:"SIZE" help:"A size."`
	Mtime *Time    `placeholder:"TIME" help:"A time."`
	Bars  string   `help:"For --do=progress, see there."`
	List  []string `help:"Names."`
	In    string   `arg:"" optional:"" default:"-" help:"Input."`
}

type probeOutput interface {
	io.Writer
	Commit() error
	Abort()
}

type again struct{ error }

func (again) Temporary() bool { return true }

// Advise implements [Adviser].
func (p *probe) Advise(err error) string {
	if errors.Is(err, fs.ErrExist) {
		return "the tool's"
	}
	return ""
}

func (p *probe) Run(env *Env) error {
	switch p.Do {
	case "advice":
		return fmt.Errorf("a/b: entry: %w", fs.ErrExist)
	case "usage":
		return Usage("--do: wrong")
	case "hint":
		return Hint(fmt.Errorf("a/b: entry: %w", fs.ErrExist), "try this")
	case "again":
		return fmt.Errorf("registry: pull: %w", again{errors.New("status 503")})
	case "emfile":
		return &fs.PathError{Op: "open", Path: "f", Err: syscall.EMFILE}
	case "long":
		return errors.New(strings.Repeat("x", 1<<20) + ": cause")
	case "words":
		return errors.New(strings.Repeat("ab ", 1000) + "cause")
	case "hostile":
		return errors.New("a\x1b[31m\xff\r: entry:\nbad \u0085é\u202e\u200b")
	case "warn":
		env.Warn("odd\nthing")
		return nil
	case "values":
		fmt.Fprintln(env.Stdout, p.Limit, *p.Mtime, *env.Epoch)
		return nil
	case "panic":
		panic("a bug")
	case "context":
		return env.Context.Err()
	case "progress":
		return p.progress(env)
	case "guard", "guard to the end":
		return env.Guard("disk", p.guarded)
	}
	return p.write(env)
}

func (p *probe) write(env *Env) error {
	in, err := env.Open(p.In)
	if err != nil {
		return err
	}
	var out probeOutput
	if p.Image {
		out, err = env.Image(p.Path, p.Dir)
	} else {
		out, err = env.Stream(p.Path, Kind(!p.Text))
	}
	if err != nil {
		return err
	}
	if _, err := io.Copy(struct{ io.Writer }{out}, in); err != nil {
		return err
	}
	switch p.Do {
	case "fail":
		return errors.New("a/b: entry: bad")
	case "forget":
		return nil
	case "abort":
		out.Abort()
		return nil
	case "hang":
		if s, ok := out.(*Stream); ok {
			s.flush() // as after much data
		}
		fmt.Fprintln(os.Stderr, "ready")
		if !p.Image {
			select {}
		}
		for { // in the middle of a write when the signal comes
			if _, err := out.Write(make([]byte, 1<<16)); err != nil {
				return err
			}
		}
	case "sparse":
		img := out.(*Image)
		if _, err := img.WriteAt([]byte("end"), 3<<20); err != nil {
			return err
		}
		if err := img.Truncate(5 << 20); err != nil {
			return err
		}
		b := make([]byte, 2)
		if _, err := img.ReadAt(b, 3<<20); err != nil || string(b) != "en" {
			return fmt.Errorf("read back %q: %w", b, err)
		}
	}
	return out.Commit()
}

// command is the probe as a process of its own.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := reftest.Command(t, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "CLI_TEST_PROBE=1", "TMPDIR="+t.TempDir(), "GORACE=atexit_sleep_ms=0")
	cmd.Stdin = strings.NewReader("input")
	return cmd
}

// run returns how cmd ended ("0", "1", "interrupt") and what it printed.
func run(t *testing.T, cmd *exec.Cmd) (status, stderr string) {
	t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return statusOf(cmd), errs.String()
}

func statusOf(cmd *exec.Cmd) string {
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return ws.Signal().String()
	}
	return fmt.Sprint(ws.ExitStatus())
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name, args, status, stderr string
	}{
		{"done", "", "0", ""},
		{"failed", "--do=fail", "1", "probe: a/b: entry: bad\n"},
		{"usage from kong", "--nonsense", "2", "probe: unknown flag --nonsense\nprobe: hint: see probe --help\n"},
		{"too many arguments", "a b", "2", "probe: unexpected argument b\nprobe: hint: see probe --help\n"},
		{"usage from Run", "--do=usage", "2", "probe: --do: wrong\n"},
		{"hint", "--do=hint", "1", "probe: a/b: entry: file already exists\nprobe: hint: try this\n"},
		{"hint of the tool", "--do=advice", "1", "probe: a/b: entry: file already exists\nprobe: hint: the tool's\n"},
		{"temporary", "--do=again", "75", "probe: registry: pull: status 503\n"},
		{"temporary only in name", "--do=emfile", "1", "probe: f: open: too many open files\n"},
		{"hostile text", "--do=hostile", "1", `probe: a\033[31m\377` + `\015: entry:; bad \302\205é\342\200\256\342\200\213` + "\n"},
		{"long text", "--do=long", "1",
			"probe: " + strings.Repeat("x", 200) + "[...]" + strings.Repeat("x", 200-len(":")) + ": cause\n"},
		{"text of many words", "--do=words", "1",
			"probe: " + strings.Repeat("ab ", 341) + "a [...] b " + strings.Repeat("ab ", 339) + "cause\n"},
		{"warning", "--do=warn", "0", "probe: warning: odd; thing\n"},
		{"quiet", "--do=warn --quiet", "0", ""},
		{"missing input", "/no/input", "1", "probe: /no/input: directory /no: no such file or directory\n"},
		{"directory as input", "/", "1", "probe: /: is a directory\nprobe: hint: tar -C DIR -c . | tar2tree makes a tree stream of a directory, tar2tree DIR of an OCI layout\n"},
		{"forgotten output", "--do=forget", "1", "probe: standard output: output was not completed\n"},
		{"aborted output", "--do=abort", "0", ""},
		{"no directory", "-o /no/dir/x", "1", "probe: /no/dir/x: directory /no/dir: no such file or directory\n"},
		{"target is a directory", "-o /", "1", "probe: /: is a directory\n"},
		{"full disk", "-o /dev/full", "1", "probe: /dev/full: write: no space left on device\n"},
		{"full disk, image", "--image -o /dev/full", "1", "probe: /dev/full: write: no space left on device\n"},
		{"no tmpdir", "--image --tmpdir=/no/dir", "1", "probe: make spool file: /no/dir: open: no such file or directory\nprobe: hint: --tmpdir DIR, or TMPDIR=DIR, names another directory for spool files\n"},
		{"bad size", "--limit=5KB", "2", "probe: --limit: \"5KB\" is not a size: want bytes, or 64K, 64M, 4GiB\nprobe: hint: see probe --help\n"},
		{"empty value", "--output=", "2", "probe: --output: value is empty\nprobe: hint: see probe --help\n"},
		{"empty list", "--list=", "2", "probe: --list: value is empty\nprobe: hint: see probe --help\n"},
		{"context", "--do=context", "0", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, stderr := run(t, command(t, strings.Fields(c.args)...))
			if status != c.status || stderr != c.stderr {
				t.Errorf("status %s and %q, want %s and %q", status, stderr, c.status, c.stderr)
			}
		})
	}
	status, stderr := run(t, command(t, "--do=panic"))
	if status != "2" || !strings.Contains(stderr, "panic: a bug") {
		t.Errorf("a bug ends with %s and %q", status, stderr)
	}
}

func TestStandardOutputErrors(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range []string{"", "--image", "--help", "--version"} {
		cmd := command(t, strings.Fields(args)...)
		cmd.Stdout = full
		status, stderr := run(t, cmd)
		if status != "1" || stderr != "probe: standard output: write: no space left on device\n" {
			t.Errorf("%q to a full disk: %s, %q", args, status, stderr)
		}
	}
	for _, args := range []string{"", "--image"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd := command(t, strings.Fields(args)...)
		cmd.Stdout = w
		status, stderr := run(t, cmd)
		w.Close()
		if status != "broken pipe" || stderr != "" {
			t.Errorf("%q to a closed pipe: %s, %q", args, status, stderr)
		}
	}
}

// TestInProcess runs the probe within the test.
func TestInProcess(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	in.WriteString("input")
	in.Seek(0, 0)
	var errs bytes.Buffer
	code := Run(probeManual, &probe{}, nil, Streams{in, w, &errs})
	w.Close()
	b, err := io.ReadAll(r)
	if code != 0 || string(b) != "input" || errs.String() != "" || err != nil {
		t.Errorf("%d, %q, %q, %v", code, b, errs.String(), err)
	}

	r, w, _ = os.Pipe()
	r.Close()
	defer w.Close()
	if in, err = os.Open(in.Name()); err != nil {
		t.Fatal(err)
	}
	if code := Run(probeManual, &probe{}, nil, Streams{in, w, &errs}); code != 141 || errs.String() != "" {
		t.Errorf("closed pipe: %d, %q", code, errs.String())
	}
}

// TestAbortReachesPipe: the last words of a writer that failed reach the pipe.
func TestAbortReachesPipe(t *testing.T) {
	cmd := command(t, "--do=fail")
	var out bytes.Buffer
	cmd.Stdout = &out
	if status, _ := run(t, cmd); status != "1" || out.String() != "input" {
		t.Errorf("status %s, output %q", status, out.String())
	}
}

// TestInputIsOutput: no output may go to the file that is read.
func TestInputIsOutput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	os.WriteFile(path, []byte("data"), 0o666)
	link := path + "-link"
	os.Symlink("file", link)
	hard := path + "-hard"
	os.Link(path, hard)
	for _, args := range []string{
		path + " -o " + path, path + " -o " + link, hard + " -o " + path, "--image -o " + path + " " + path, "-o " + path,
	} {
		cmd := command(t, strings.Fields(args)...)
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin = in
		status, stderr := run(t, cmd)
		in.Close()
		if status != "2" || !strings.HasSuffix(stderr, ": is input and output at once\n") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: %s, %q", args, status, stderr)
		}
	}
	cmd := command(t, path)
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout = out
	if status, stderr := run(t, cmd); status != "2" {
		t.Errorf(">>: %s, %q", status, stderr)
	}
	if b, _ := os.ReadFile(path); string(b) != "data" {
		t.Errorf("the file is now %q", b)
	}
}

// signalled starts cmd, waits until it says it is ready, and sends the signals, with
// pauses in which each could end it.
func signalled(t *testing.T, cmd *exec.Cmd, signals ...syscall.Signal) (status string) {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, 6)
	if _, err := io.ReadFull(stderr, ready); err != nil || string(ready) != "ready\n" {
		t.Fatalf("the probe said %q, %v", ready, err)
	}
	for _, sig := range signals {
		time.Sleep(10 * time.Millisecond)
		cmd.Process.Signal(sig)
	}
	rest, _ := io.ReadAll(stderr)
	cmd.Wait()
	if len(rest) > 0 {
		t.Errorf("printed %q", rest)
	}
	return statusOf(cmd)
}

func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		for _, args := range []string{"--do=hang", "--do=hang --image"} {
			t.Run(sig.String()+" "+args, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "out")
				os.WriteFile(path, []byte("old"), 0o666)
				cmd := command(t, append(strings.Fields(args), "-o", path)...)
				if status := signalled(t, cmd, sig); status != sig.String() {
					t.Errorf("-o: died of %s", status)
				}
				if b, _ := os.ReadFile(path); string(b) != "old" {
					t.Errorf("the target holds %d bytes", len(b))
				}
				if names, _ := filepath.Glob(dir + "/.*"); len(names) > 0 {
					t.Errorf("debris: %q", names)
				}

				out, err := os.Create(path)
				if err != nil {
					t.Fatal(err)
				}
				defer out.Close()
				cmd = command(t, strings.Fields(args)...)
				cmd.Stdout = out
				if status := signalled(t, cmd, sig); status != sig.String() {
					t.Errorf("stdout: died of %s", status)
				}
				if fi, _ := out.Stat(); fi.Size() != 0 {
					t.Errorf("stdout holds %d bytes", fi.Size())
				}
			})
		}
	}
}

// TestSignalWhileStuck: a tool can be stopped while it waits for the reader of a pipe.
func TestSignalWhileStuck(t *testing.T) {
	for _, do := range []string{"copy", "fail"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := command(t, "--do="+do)
		cmd.Stdin = bytes.NewReader(make([]byte, 3<<20))
		cmd.Stdout = w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		time.Sleep(200 * time.Millisecond)
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		r.Close()
		if status := statusOf(cmd); status != "terminated" {
			t.Errorf("%s: ended with %s", do, status)
		}
	}
}

// TestIgnoredSignal: a signal that was ignored at the start (nohup, "&" in a script) stays
// ignored. For SIGTERM the runtime does not tell: it always ends a tool, which cleans up.
func TestIgnoredSignal(t *testing.T) {
	for ignored, sent := range map[string][]syscall.Signal{
		"HUP": {syscall.SIGHUP}, "INT": {syscall.SIGINT}, "HUP INT TERM": {syscall.SIGHUP, syscall.SIGINT},
	} {
		dir := t.TempDir()
		cmd := command(t)
		sh := reftest.Command(t, "bash", "-c", `trap '' `+ignored+`; exec "$0" --do=hang -o "$1/out"`, cmd.Path, dir)
		sh.Env = cmd.Env
		status := signalled(t, sh, append(sent, syscall.SIGTERM)...)
		if names, _ := os.ReadDir(dir); status != "terminated" || len(names) > 0 {
			t.Errorf("%s ignored: died of %s, left %v, want that of SIGTERM", ignored, status, names)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	out, err := command(t, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Usage: probe [<in>] [flags]", "Do as it is told.", "-o, --output=FILE", "A size (default 64M).", "What to do (default copy).", "--tmpdir=DIR", "--quiet", "--version", "-h, --help"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("--help does not say %q:\n%s", want, out)
		}
	}
	out, err = command(t, "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "probe ") || strings.Count(string(out), "\n") != 1 {
		t.Errorf("--version: %q, %v", out, err)
	}
}

func TestTerminal(t *testing.T) {
	for _, c := range []struct{ args, status, stderr string }{
		{"", "2", "probe: standard output: is a terminal, and the data is binary\nprobe: hint: use -o FILE, or connect a pipe\n"},
		{"--image", "2", "probe: standard output: is a terminal, and the data is binary\nprobe: hint: use -o FILE, or connect a pipe\n"},
		{"--text", "0", ""},
		{"-o /dev/null", "0", ""},
	} {
		cmd := command(t, strings.Fields(c.args)...)
		cmd.Stdout = terminal(t)
		if status, stderr := run(t, cmd); status != c.status || stderr != c.stderr {
			t.Errorf("%q: %s, %q", c.args, status, stderr)
		}
	}
	cmd := command(t)
	cmd.Stdin = terminal(t)
	if status, stderr := run(t, cmd); status != "2" || stderr != "probe: standard input: is a terminal\nprobe: hint: name a file, or connect a pipe: probe < FILE\n" {
		t.Errorf("terminal as input: %s, %q", status, stderr)
	}
}

// terminal opens a pseudo terminal and returns the side that a tool would have.
func terminal(t *testing.T) *os.File {
	t.Helper()
	_, slave := pty(t, 24)
	return slave
}

// A small heap is not collected. Afterwards there is a limit for the garbage of each size.
func TestLimitGarbage(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	percent := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	limitGarbage()
	if have := percent(); have != 400 {
		t.Errorf("before the first collection: %d", have)
	}
	debug.SetGCPercent(77)
	for range 1000 {
		runtime.GC()
		if percent() != 77 {
			return // what is in use here is not known
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("afterwards: %d", percent())
}

func TestGarbage(t *testing.T) {
	for inUse, want := range map[uint64]int{0: 1600, minGarbage: 100, 2*minGarbage - 1: 50, 2 * minGarbage: 50, largeHeap: 50, 2 * largeHeap: 25, 1 << 40: 18} {
		if have := garbage(inUse); have != want {
			t.Errorf("of %d bytes: %d percent, want %d", inUse, have, want)
		}
	}
}
