package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// report is what the JSON file holds.
type report struct {
	Machine string
	Results []result
}

// result is a contender of a row: medians, and the medians of ours divided by its
// own figures, run by run.
type result struct {
	Row, By                      string
	Wall, CPU, SumRSS, MaxRSS    float64
	Size                         float64
	WallRatio, CPURatio          float64
	SumRatio, MaxRatio, SizeRate float64
}

func (r *report) add(row, by string, ours, own []sample) {
	m := median(own)
	ratio := func(of func(sample) float64) float64 {
		var v []float64
		for i := range own {
			v = append(v, of(ours[i])/max(of(own[i]), 1e-9))
		}
		return middle(v)
	}
	x := result{
		Row: row, By: by, Wall: m.wall, CPU: m.cpu, SumRSS: m.sumRSS, MaxRSS: m.maxRSS, Size: m.size,
		WallRatio: ratio(sample.Wall), CPURatio: ratio(sample.CPU), SumRatio: ratio(sample.SumRSS),
		MaxRatio: ratio(sample.MaxRSS), SizeRate: ratio(sample.Size),
	}
	if len(r.Results) == 0 || r.Results[len(r.Results)-1].Row != row {
		fmt.Printf("  %-24s %7s %7s %8s %8s %9s   %s\n", "", "wall s", "CPU s", "sum MiB", "max MiB", "output MB", "ours by it: wall, CPU, sum of memory, size")
	}
	fmt.Printf("  %-24s %7.2f %7.2f %8.0f %8.0f %9.1f", x.By, x.Wall, x.CPU, x.SumRSS, x.MaxRSS, x.Size)
	if by != "ours" {
		fmt.Printf("   %.2f  %.2f  %.2f  %.4f", x.WallRatio, x.CPURatio, x.SumRatio, x.SizeRate)
	}
	fmt.Println()
	r.Results = append(r.Results, x)
}

// compare prints what became of ours since the former report, also as seen by
// peers, which cancels out what the machine was busy with.
func (r *report) compare(former *report) {
	if former == nil {
		return
	}
	fmt.Printf("\nBefore: %s\n  %-12s %-24s %12s %12s %12s\n", former.Machine, "", "new / old", "wall", "CPU", "output")
	for _, x := range r.Results {
		i := slices.IndexFunc(former.Results, func(o result) bool { return o.Row == x.Row && o.By == x.By })
		if i < 0 {
			continue
		}
		o := former.Results[i]
		fmt.Printf("  %-12s %-24s %12.2f %12.2f %12.4f\n", x.Row, x.By, x.Wall/o.Wall, x.CPU/o.CPU, x.Size/o.Size)
		if x.By != "ours" {
			fmt.Printf("  %-12s %-24s %12.2f %12.2f %12.4f\n", "", "  ratio of ours to it", x.WallRatio/o.WallRatio, x.CPURatio/o.CPURatio, x.SizeRate/o.SizeRate)
		}
	}
}

func (r *report) write(path string) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	fmt.Printf("\nfigures are in %s\n", path)
	return os.WriteFile(path, append(b, '\n'), 0o666)
}

// readReport returns nil for no path.
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
