// Bench measures the tools as a user runs them, in a pipeline, beside the tools
// that do the same:
//
//	go run ./lib/reftest/bench [-n 5] [-json FILE] [-base OLD.json] [ROW...]
//
// tests/shell/images.sh makes the inputs once. A peer is what PATH has under its name;
// MKFS_EROFS and MKE2FS name other builds of two. msb, microsandbox, is bin/msb in the npm
// package @superradcompany/microsandbox-linux-x64-gnu ("npm pack" fetches it). Each contender of a row first runs once to
// warm up. A list of its output, with the digests of all contents, must be the same as that
// of ours; otherwise it is not measured. Then the contenders run in turn; for one that takes
// longer than 10 seconds the first run counts. A missing peer or input is named.
package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	b := bench{}
	flag.IntVar(&b.runs, "n", 5, "runs of each, of which the medians count")
	flag.StringVar(&b.dir, "dir", filepath.Join(os.TempDir(), "ocipipe-bench"), "where output lies")
	flag.StringVar(&b.json, "json", os.Getenv("JSON"), "write the figures there; without it to bench.json in the directory of -dir")
	flag.StringVar(&b.base, "base", os.Getenv("BASE"), "compare with the figures of an earlier run")
	flag.Parse()
	if b.json == "" {
		b.json = filepath.Join(b.dir, "bench.json")
	}
	if err := b.run(flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

type bench struct {
	runs            int
	dir, json, base string
	report          report
}

func (b *bench) run(only []string) error {
	if err := os.MkdirAll(b.dir, 0o777); err != nil {
		return err
	}
	os.Setenv("TMPDIR", b.dir) // spool files lie where the images do
	earlier, err := readReport(b.base)
	if err != nil {
		return err
	}
	b.report.Machine = machine(b.dir)
	fmt.Println(b.report.Machine)
	fmt.Printf("%d runs of each after one to warm up, in turn; medians\n", b.runs)
	for _, r := range rows() {
		if len(only) > 0 && !slices.Contains(only, r.name) {
			continue
		}
		if err := b.row(r); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	if earlier != nil {
		b.report.compare(os.Stdout, earlier, len(only) == 0)
	}
	return b.report.write(b.json)
}

// row measures the contenders. The first is ours.
func (b *bench) row(r row) (err error) {
	fmt.Printf("\n%s: %s\n", r.name, r.work)
	in, why := input(r.input)
	if why == "" && r.missing != nil {
		why = r.missing()
	}
	if why != "" {
		fmt.Printf("  missing: %s\n", why)
		return nil
	}
	work := workDir(b.out(0))
	os.RemoveAll(work)
	defer os.RemoveAll(work)
	if r.prepare != "" {
		if err := os.MkdirAll(work, 0o777); err != nil {
			return err
		}
		cmd := exec.Command("bash", "-c", "set -euo pipefail; "+fill(r.prepare, in, b.out(0)))
		if msg, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("prepare: %w: %s", err, msg)
		}
	}
	host := ""
	if r.serve != nil {
		var stop func()
		if host, stop, err = r.serve(work); stop != nil {
			defer stop()
		}
		if err != nil {
			return err
		}
	}
	var able []measured
	for _, c := range r.contenders {
		c.line = strings.ReplaceAll(c.line, "{host}", host)
		if strings.Contains(c.line, "{diff-id}") {
			sum, err := diffID(in)
			if err != nil {
				return err
			}
			c.line = strings.ReplaceAll(c.line, "{diff-id}", sum)
		}
		s, why, err := b.warmUp(r, c, in, len(able) == 0)
		if err != nil {
			return err
		}
		if why != "" {
			fmt.Printf("  missing: %s: %s\n", c.name, why)
			continue
		}
		m := measured{contender: c}
		if s.wall > slow {
			fmt.Printf("  %s takes %.0f s: this run counts\n", c.name, s.wall)
			m.samples, m.once = []sample{s}, true
		}
		able = append(able, m)
	}
	for range b.runs {
		for i := range able {
			if able[i].once {
				continue
			}
			s, err := b.measure(r, able[i].contender, in, b.out(i))
			if err != nil {
				return err
			}
			able[i].samples = append(able[i].samples, s)
			os.RemoveAll(b.out(i))
		}
	}
	b.addAll(r.name, able)
	return nil
}

// addAll adds the figures of a row to the report.
func (b *bench) addAll(row string, able []measured) {
	var inProcess []sample
	if i := slices.IndexFunc(able, func(m measured) bool { return m.name == inOneProcess }); i >= 0 {
		inProcess = able[i].samples
	}
	for _, m := range able {
		b.report.add(row, m.name, able[0].samples, inProcess, m.samples)
	}
}

// slow is the number of seconds above which one run is enough.
const slow = 10

// measured is a contender with its figures.
type measured struct {
	contender
	samples []sample
	once    bool // the run that warms up counts
}

func (b *bench) out(i int) string { return filepath.Join(b.dir, fmt.Sprintf("out%d", i)) }

// measure runs c.
func (b *bench) measure(r row, c contender, in, out string) (s sample, err error) {
	if s, err = measure(c.line, in, out); err != nil {
		return s, err
	}
	s.size, err = sizeOf(out, r.sparse)
	return s, err
}

// warmUp runs c once and compares a list of its output with that of ours, which it keeps.
// It says why a peer cannot be measured.
func (b *bench) warmUp(r row, c contender, in string, ours bool) (s sample, missing string, err error) {
	if c.missing != nil {
		if why := c.missing(); why != "" {
			return s, why, nil
		}
	}
	out := b.out(0)
	defer os.RemoveAll(out)
	if s, err = b.measure(r, c, in, out); err != nil {
		if ours {
			return s, "", err
		}
		return s, err.Error(), nil
	}
	list := filepath.Join(b.dir, "list")
	if !ours {
		list = filepath.Join(b.dir, "list.peer")
	}
	how := r.list
	if c.list != "" {
		how = c.list
	}
	cmd := exec.Command("bash", "-c", "set -euo pipefail; ("+fill(how, in, out)+") >"+list)
	if msg, err := cmd.CombinedOutput(); err != nil {
		err = fmt.Errorf("list what %s wrote: %w: %.300s", c.name, err, msg)
		if ours {
			return s, "", err
		}
		return s, err.Error(), nil
	}
	if ours {
		return s, "", nil
	}
	if msg, err := exec.Command("bash", "-c", fmt.Sprintf("cd %s && diff list list.peer | head -n 5; exit ${PIPESTATUS[0]}", b.dir)).Output(); err != nil {
		return s, "it wrote something else:\n    " + strings.ReplaceAll(strings.TrimSpace(string(msg)), "\n", "\n    "), nil
	}
	return s, "", nil
}

// diffID returns the digest of the plain layer that lies beside in.
func diffID(in string) (string, error) {
	f, err := os.Open(filepath.Join(filepath.Dir(in), "layer.tar"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("sha256:%x", h.Sum(nil)), err
}

// input returns the file for a path such as NAME/layer.tar, where images.sh makes NAME, or
// says why there is none.
func input(path string) (file, missing string) {
	if path == "" {
		return os.DevNull, ""
	}
	name, rest, _ := strings.Cut(path, "/")
	cmd := exec.Command("tests/shell/images.sh", name)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	dir, err := cmd.Output()
	if err != nil {
		return "", fmt.Sprintf("%v: %s", err, strings.TrimSpace(stderr.String()))
	}
	return filepath.Join(strings.TrimSpace(string(dir)), rest), ""
}
