package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ocipipe/lib/atomicfile"
)

// readReport reads the report in dir.
func readReport(t *testing.T, dir string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "report"))
	if err != nil {
		t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return r
}

// TestReport tests where a report goes, and that digest and size are those of the output, in
// whatever way that was written.
func TestReport(t *testing.T) {
	for _, c := range []struct{ name, line, output string }{
		{"new file", "head -c 3000000 /dev/urandom | probe --report=report -o out", "out"},
		{"replaced", "echo old > out; echo old > report; echo new | probe --report report -o out", "out"},
		{"little", "printf x | probe --report=report -o out", "out"},
		{"nothing", "probe --report=report -o out < /dev/null", "out"},
		{"standard output", "head -c 700000 /dev/urandom | probe --report=report > out", ""},
		{"pipe", "head -c 700000 /dev/urandom | probe --report=report | cat > out", ""},
		{"holes", "printf input | probe --do=sparse --image --report=report -o out", "out"},
		{"holes, standard output", "printf input | probe --do=sparse --image --report=report > out", ""},
		{"holes, pipe", "printf input | probe --do=sparse --image --report=report | cat > out", ""},
		{"descriptor", "echo new | probe --report-fd=7 -o out 7> report", "out"},
		{"descriptor of a pipe", "{ echo new | probe --report-fd=7 -o out 7>&1 | cat > report; }", "out"},
		{"descriptor for reading and writing", "echo new | probe --report-fd 3 -o out 3<> report", "out"},
		{"standard output gets the report", "echo new | probe --report=- -o out > report", "out"},
		{"symbolic links", "ln -s out a; ln -s report b; echo new | probe --report=b -o a; test -L a && test -L b", "a"},
		{"fifo", "mkfifo p; cat p > report & echo new | probe --report=p -o out; wait; test -p p", "out"},
		{"without waiting for the disk", "echo new | probe --no-sync --report=report -o out", "out"},
		{"without a digest", "echo new | probe --report-digest=no --report=report -o out", "out"},
		{"without a digest, pipe", "echo new | probe --report-digest=no --report=report --image | cat > out", ""},
	} {
		for _, flags := range []string{"", "--image"} {
			if flags != "" && strings.Contains(c.line, "--do=sparse") {
				continue
			}
			t.Run(c.name+flags, func(t *testing.T) {
				dir := t.TempDir()
				status, stderr := shell(t, dir, flags, c.line)
				out, err := os.ReadFile(filepath.Join(dir, "out"))
				if status != "0" || stderr != "" || err != nil {
					t.Fatalf("status %s, %q, %v", status, stderr, err)
				}
				r := readReport(t, dir)
				digest, hashed := r["digest"]
				if want := fmt.Sprintf("sha256:%x", sha256.Sum256(out)); hashed == strings.Contains(c.line, "digest=no") || hashed && digest != want {
					t.Errorf("digest %v, want %s", digest, want)
				}
				if r["size"] != float64(len(out)) {
					t.Errorf("size %v of %d", r["size"], len(out))
				}
				switch path, given := r["output"]; {
				case c.output == "" && given:
					t.Errorf("output %v", path)
				case c.output != "" && path != filepath.Join(dir, c.output):
					t.Errorf("output %v", path)
				}
				if r["version"] != 1.0 || r["tool"] != "probe" || r["warnings"] != 0.0 {
					t.Errorf("%v", r)
				}
				if allocated, given := r["allocated"]; given != !strings.Contains(c.line, "| cat > out") || given && allocated.(float64) > 1<<20 && len(out) != 3000000 {
					t.Errorf("allocated %v", allocated)
				}
				for name, value := range r {
					if value == nil {
						t.Errorf("%s is null", name)
					}
				}
			})
		}
	}
}

// TestReportFailures: there is no report if the tool fails, and the tool fails if there is no
// report. The output stays then; it is complete.
func TestReportFailures(t *testing.T) {
	const complete = "probe: hint: the output is complete; only the report is missing\n"
	for _, c := range []struct{ name, line, status, stderr, out, report string }{
		{"the tool fails", "echo old > report; echo new | probe --do=fail --report=report -o out", "1", "probe: a/b: entry: bad\n", "-", "old\n"},
		{"it forgets its output", "echo new | probe --do=forget --report=report -o out", "1", "probe: out: output was not completed\n", "-", "-"},
		{"it fails, with a descriptor", "echo new | probe --do=fail --report-fd=3 -o out 3> report", "1", "probe: a/b: entry: bad\n", "-", ""},
		{"full disk", "echo new | probe --report=/dev/full -o out", "1", "probe: /dev/full: write: no space left on device\n" + complete, "new\n", "-"},
		{"full disk, descriptor", "echo new | probe --report-fd=3 -o out 3> /dev/full", "1", "probe: descriptor 3: write: no space left on device\n" + complete, "new\n", "-"},
		{"the reader leaves", "mkfifo p; : < p & echo new | { sleep 0.3; cat; } | probe --report=p -o out", "1", "probe: p: write: broken pipe\n" + complete, "new\n", "-"},
		{"the reader leaves a descriptor", "{ { { sleep 0.3; echo new; } | probe --report-fd=3 -o out; echo $? > s; } 3>&1 | :; }; exit $(cat s)", "1", "probe: descriptor 3: write: broken pipe\n" + complete, "new\n", "-"},
		{"directory", "mkdir d; echo new | probe --report=d -o out", "1", "probe: d: is a directory\n", "-", "-"},
		{"no directory", "echo new | probe --report=d/report -o out", "1", "probe: d/report: directory d: no such file or directory\n", "-", "-"},
		{"full disk, standard output", "echo new | probe --report=- -o out > /dev/full", "1", "probe: standard output: write: no space left on device\n" + complete, "new\n", "-"},
		{"the reader of standard output leaves", "{ { sleep 0.3; echo new; } | probe --report=- -o out; echo $? > s; } | :; exit $(cat s)", "141", "", "-", "-"},
		{"standard output twice", "echo new | probe --report=- > out", "2", "probe: --report=-: standard output is the output already\nprobe: hint: name a file: --report=FILE, or -o FILE\n", "", "-"},
		{"the same pipe", "{ echo new | probe --report=/dev/stdout; echo $? > s; } | cat > out; exit $(cat s)", "2", "probe: standard output: is the report and the output at once\n", "", "-"},
		{"the same descriptor", "{ echo new | probe --report-fd=3 3>&1; echo $? > s; } | cat > out; exit $(cat s)", "2", "probe: standard output: is the report and the output at once\n", "", "-"},
		{"the output", "echo old > out; echo new | probe --report=out -o out", "2", "probe: out: is the report and the output at once\n", "old\n", "-"},
		{"the output, which is new", "echo new | probe --report=./out -o out", "2", "probe: out: is the report and the output at once\n", "-", "-"},
		{"the output, open already", "echo new | probe --report=out > out", "2", "probe: standard output: is the report and the output at once\n", "", "-"},
		{"a link to the output, which is new", "ln -s out l; echo new | probe --report=l -o out", "2", "probe: out: is the report and the output at once\n", "-", "-"},
		{"the output, which is new, by a link", "ln -s report l; echo new | probe --report=report -o l", "2", "probe: l: is the report and the output at once\n", "-", "-"},
		{"the output, which is new, by an absolute path", "echo new | probe --report=$PWD/out -o out", "2", "probe: out: is the report and the output at once\n", "-", "-"},
		{"standard output, and the output is /dev/stdout", "{ echo new | probe --report=- -o /dev/stdout; echo $? > s; } | cat > out; exit $(cat s)", "2", "probe: /dev/stdout: is the report and the output at once\n", "", "-"},
		{"standard output, which is the output", "echo new | probe --report=- -o out > out", "2", "probe: out: is the report and the output at once\n", "", "-"},
		{"standard output, which is the input", "echo old > report; probe --report=- -o out report >> report", "2", "probe: report: is input and output at once\n", "-", "old\n"},
		{"standard output, and the depfile", "{ echo new | probe --report=- --depfile=/dev/stdout -o out; echo $? > s; } | cat > report; exit $(cat s)", "2", "probe: /dev/stdout: is the report and the depfile at once\n", "-", ""},
		{"the input", "echo old > report; probe --report=report -o out report", "2", "probe: report: is input and output at once\n", "-", "old\n"},
		{"the input, without a name", "echo old > report; probe --report=./report -o out < report", "2", "probe: ./report: is input and output at once\n", "-", "old\n"},
		{"the input, by two descriptors", "echo old > report; probe --report-fd=3 -o out < report 3>> report", "2", "probe: descriptor 3: is input and output at once\n", "-", "old\n"},
		{"the input and standard output", "echo old > report; probe < report >> report", "2", "probe: standard input: is input and output at once\n", "-", "old\n"},
		{"both", "echo new | probe --report=report --report-fd=3 3> x", "2", "probe: --report and --report-fd exclude each other\nprobe: hint: see probe --help\n", "-", "-"},
		{"the depfile, which is new", "echo new | probe --report=report --depfile=./report -o out", "2", "probe: ./report: is the report and the depfile at once\n", "-", "-"},
		{"the depfile", "echo old > report; echo new | probe --report=report --depfile=report -o out", "2", "probe: report: is the report and the depfile at once\n", "-", "old\n"},
		{"a link to the depfile, which is new", "ln -s d report; echo new | probe --report=report --depfile=d -o out", "2", "probe: d: is the report and the depfile at once\n", "-", "-"},
		{"the depfile, which is a pipe", "mkfifo p; cat p > report & echo new | probe --report=p --depfile=p -o out; s=$?; wait; exit $s", "2", "probe: p: is the report and the depfile at once\n", "-", ""},
		{"the depfile, by a descriptor", "echo new | probe --report-fd=3 --depfile=report -o out 3> report", "2", "probe: report: is the report and the depfile at once\n", "-", ""},
		{"a loop of links", "ln -s a report; ln -s report a; echo new | probe --report=report -o out", "1", "probe: report: too many levels of symbolic links\n", "-", "-"},
		{"no name", "echo new | probe --report=", "2", "probe: --report: value is empty\nprobe: hint: see probe --help\n", "-", "-"},
		{"closed descriptor", "echo new | probe --report-fd=9 -o out", "2", "probe: --report-fd 9: is not open\n", "-", "-"},
		{"descriptor for reading", "echo new | probe --report-fd=9 -o out 9< /dev/null", "2", "probe: --report-fd 9: is not open for writing\n", "-", "-"},
		{"descriptor of a directory", "echo new | probe --report-fd=9 -o out 9< .", "2", "probe: --report-fd 9: is not a file, a pipe, a socket or a terminal\n", "-", "-"},
		{"negative descriptor", "echo new | probe --report-fd=-3 -o out", "2", "probe: --report-fd -3: is not open\n", "-", "-"},
		{"standard error", "echo new | probe --report-fd=2 -o out", "2", "probe: --report-fd 2: is a standard stream: use --report=- for standard output, or say 3>FILE --report-fd=3\n", "-", "-"},
		{"that of the progress", "echo new | probe --report-fd=3 --progress-fd=3 -o out 3> report", "2", "probe: --report-fd and --progress-fd are the same\n", "-", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			status, stderr := shell(t, dir, "", c.line)
			if status != c.status || stderr != c.stderr {
				t.Errorf("status %s, %q; want %s, %q", status, stderr, c.status, c.stderr)
			}
			for name, want := range map[string]string{"out": c.out, "report": c.report} {
				b, err := os.ReadFile(filepath.Join(dir, name))
				if want == "-" && err == nil || want != "-" && string(b) != want {
					t.Errorf("%s holds %q, %v; want %q", name, b, err, want)
				}
			}
			if debris, _ := filepath.Glob(dir + "/.*"); len(debris) > 0 {
				t.Errorf("debris: %q", debris)
			}
		})
	}
}

// TestReportNotWritten: a report that nobody reads is waited for before the work begins, and a
// signal ends that.
func TestReportNotWritten(t *testing.T) {
	dir := t.TempDir()
	if status, _ := shell(t, dir, "", "mkfifo p"); status != "0" {
		t.Fatal(status)
	}
	for _, do := range []string{"copy", "hang"} {
		cmd := command(t, "--do="+do, "--report=p", "-o", "out")
		cmd.Dir = dir
		if do == "hang" {
			cmd.Args[2] = "--report=report"
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitAsleep(cmd.Process.Pid)
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if status := statusOf(cmd); status != "interrupt" || stderr.String() != map[string]string{"copy": "", "hang": "ready\n"}[do] {
			t.Errorf("%s: status %s, %q", do, status, stderr.String())
		}
		if names, _ := filepath.Glob(dir + "/*"); len(names) != 1 {
			t.Errorf("%s: %q", do, names)
		}
	}
}

// waitAsleep waits until all threads of a process sleep for longer than a moment, or it has
// ended. A thread that waits for a processor does not count as asleep.
func waitAsleep(pid int) {
	for moments := 0; moments < 3; moments++ {
		time.Sleep(50 * time.Millisecond)
		stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, name := range stats {
			if b, _ := os.ReadFile(name); !bytes.Contains(b, []byte(") S ")) && !bytes.Contains(b, []byte(") Z ")) {
				moments = -1
			}
		}
	}
}

func TestReportWarnings(t *testing.T) {
	for _, flags := range []string{"", "--quiet"} {
		dir := t.TempDir()
		if status, stderr := shell(t, dir, flags, "probe --do=warn --report=report"); status != "0" || (stderr == "") != (flags == "--quiet") {
			t.Errorf("status %s, %q", status, stderr)
		}
		r := readReport(t, dir)
		if _, sized := r["size"]; r["warnings"] != 1.0 || sized {
			t.Errorf("%v", r)
		}
	}
}

// TestReportDescriptor: child processes do not get the descriptor, so that its reader sees the
// end when it is closed.
func TestReportDescriptor(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	w, err := takeDescriptor(fds[1])
	if err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(fds[1]), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("a child has the descriptor: flags %#x, %v", flags, err)
	}
	w.Close()
	if n, err := unix.Read(fds[0], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("no end: %d bytes, %v", n, err)
	}
}

// TestReportOfMoved: what the kernel would move, or the caller write in its place, is in the
// digest too.
func TestReportOfMoved(t *testing.T) {
	dir := t.TempDir()
	content := bytes.Repeat([]byte("content "), 1<<17)
	in := filepath.Join(dir, "in")
	if err := os.WriteFile(in, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	env := newEnv("probe", Streams{Stdin: f, Stdout: f})
	env.report.flags.ReportFile = "report"
	s, err := env.Stream(filepath.Join(dir, "out"), Binary)
	if err != nil {
		t.Fatal(err)
	}
	if at, _ := s.Place(); at != nil {
		t.Error("the caller may write what is not hashed")
	}
	n := s.TakeFrom(f, 0, int64(len(content)))
	if _, err := s.WriteFrom(f, n, content[n:]); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, want := env.OutputDigest().String(), fmt.Sprintf("sha256:%x", sha256.Sum256(content)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestReportOverOutput: where two names turn out to be one only when the output is there, as
// where case means nothing, the report does not replace it.
func TestReportOverOutput(t *testing.T) {
	dir := t.TempDir()
	out, same, other := filepath.Join(dir, "out"), filepath.Join(dir, "OUT"), filepath.Join(dir, "other")
	for _, path := range []string{out, other} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(out, same); err != nil {
		t.Fatal(err)
	}
	for path, refused := range map[string]bool{same: true, other: false, filepath.Join(dir, "new"): false} {
		r := &reporting{flags: Report{ReportFile: path}, file: new(atomicfile.File), output: &measured{path: out}}
		if err := r.checkOverwrite(); (err != nil) != refused {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestReportVersion: the version is that of --version, which the linker may have been told.
func TestReportVersion(t *testing.T) {
	defer func(old string) { release = old }(release)
	release = "1.2.3"
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	Run(Manual{Name: "names"}, new(namesTool), []string{"--version"}, Streams{Stdout: out})
	printed, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	env := newEnv("names", Streams{})
	if err := env.completeResult(); err != nil {
		t.Fatal(err)
	}
	if want := "names " + env.Result().ToolVersion + "\n"; string(printed) != want {
		t.Errorf("--version prints %q, and the report has %q", printed, want)
	}
}
