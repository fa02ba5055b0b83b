package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// report is the content of the JSON file.
type report struct {
	Machine string
	Results []result
}

// result has the medians of a contender of a row, and the medians of the ratios of our
// figures to its own, run by run.
type result struct {
	Row, By                      string
	Wall, CPU, SumRSS, MaxRSS    float64
	Size                         float64
	WallRatio, CPURatio          float64
	SumRatio, MaxRatio, SizeRate float64
	InProcess                    *ratios `json:",omitempty"` // the same of our form in one process
}

// ratios are wall, CPU, sum of memory and size.
type ratios [4]float64

func (x ratios) String() string { return fmt.Sprintf("%.2f  %.2f  %.2f  %.4f", x[0], x[1], x[2], x[3]) }

// add adds the figures of a contender. inProcess has those of ours in one process, and is
// nil in rows without it.
func (r *report) add(row, by string, ours, inProcess, own []sample) {
	m := median(own)
	ratio := func(ours []sample, of func(sample) float64) float64 {
		var v []float64
		for i := range min(len(ours), len(own)) {
			v = append(v, of(ours[i])/max(of(own[i]), 1e-9))
		}
		return middle(v)
	}
	x := result{
		Row: row, By: by, Wall: m.wall, CPU: m.cpu, SumRSS: m.sumRSS, MaxRSS: m.maxRSS, Size: m.size,
		WallRatio: ratio(ours, sample.Wall), CPURatio: ratio(ours, sample.CPU), SumRatio: ratio(ours, sample.SumRSS),
		MaxRatio: ratio(ours, sample.MaxRSS), SizeRate: ratio(ours, sample.Size),
	}
	if inProcess != nil && !isOurs(by) {
		x.InProcess = &ratios{ratio(inProcess, sample.Wall), ratio(inProcess, sample.CPU), ratio(inProcess, sample.SumRSS), ratio(inProcess, sample.Size)}
	}
	if len(r.Results) == 0 || r.Results[len(r.Results)-1].Row != row {
		fmt.Printf("  %-24s %7s %7s %8s %8s %9s   %s\n", "", "wall s", "CPU s", "sum MiB", "max MiB", "output MB", "ours by it: wall, CPU, sum of memory, size")
	}
	fmt.Printf("  %-24s %7.3f %7.3f %8.0f %8.0f %9.1f", x.By, x.Wall, x.CPU, x.SumRSS, x.MaxRSS, x.Size)
	if by != "ours" {
		fmt.Printf("   %v", ratios(x.ratios()))
	}
	if x.InProcess != nil {
		fmt.Printf("   in one process %v", *x.InProcess)
	}
	fmt.Println()
	r.Results = append(r.Results, x)
}

// compare prints how our figures have changed since the earlier report, also in relation to
// peers, which cancels out the load of the machine. It names rows that were measured in only
// one of them; those that are missing now only if all is true.
func (r *report) compare(w io.Writer, earlier *report, all bool) {
	fmt.Fprintf(w, "\nBefore: %s\n  %-14s %-24s %8s %8s %8s %8s\n", earlier.Machine, "", "new / old", "wall", "CPU", "memory", "output")
	line := func(row, what string, n, o [4]float64) {
		fmt.Fprintf(w, "  %-14s %-24s %8.2f %8.2f %8.2f %8.4f\n", row, what,
			quotient(n[0], o[0]), quotient(n[1], o[1]), quotient(n[2], o[2]), quotient(n[3], o[3]))
	}
	for _, x := range r.Results {
		o, ok := earlier.find(x)
		if !ok {
			fmt.Fprintf(w, "  %-14s %-24s was not measured then\n", x.Row, x.By)
			continue
		}
		line(x.Row, x.By, x.figures(), o.figures())
		if x.By != "ours" {
			line("", "  ratio of ours to it", x.ratios(), o.ratios())
		}
	}
	for _, o := range earlier.Results {
		if _, ok := r.find(o); !ok && all {
			fmt.Fprintf(w, "  %-14s %-24s is not measured now\n", o.Row, o.By)
		}
	}
}

func (x result) figures() [4]float64 { return [4]float64{x.Wall, x.CPU, x.SumRSS, x.Size} }
func (x result) ratios() [4]float64 {
	return [4]float64{x.WallRatio, x.CPURatio, x.SumRatio, x.SizeRate}
}

// find returns the result of the same contender of the same row.
func (r *report) find(x result) (result, bool) {
	i := slices.IndexFunc(r.Results, func(o result) bool { return o.Row == x.Row && o.By == x.By })
	if i < 0 {
		return result{}, false
	}
	return r.Results[i], true
}

// quotient returns n/o, or 1 if both are 0.
func quotient(n, o float64) float64 {
	if n == o {
		return 1
	}
	return n / max(o, 1e-9)
}

func (r *report) write(path string) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	fmt.Printf("\nfigures are in %s\n", path)
	return os.WriteFile(path, append(b, '\n'), 0o666)
}

// readReport reads a report. It returns nil if path is "".
func readReport(path string) (*report, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(report)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(r.Results) == 0 {
		return nil, fmt.Errorf("%s: has no figures", path)
	}
	return r, nil
}

// machine describes the computer in one line.
func machine(dir string) string {
	var uts unix.Utsname
	unix.Uname(&uts)
	var info unix.Sysinfo_t
	unix.Sysinfo(&info)
	var fs unix.Statfs_t
	unix.Statfs(dir, &fs)
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("%s, %d processors, %d GiB, Linux %s, output on file system %#x, load %s", processor(), runtime.NumCPU(),
		info.Totalram*uint64(info.Unit)>>30, unix.ByteSliceToString(uts.Release[:]), fs.Type, strings.Join(strings.Fields(string(load))[:2], " "))
}

func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "model name"); ok {
			return strings.TrimLeft(name, "\t :")
		}
	}
	return runtime.GOARCH
}
