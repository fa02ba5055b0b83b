// Bench measures the tools as a user runs them, in a pipeline, beside the tools
// that do the same:
//
//	go run ./lib/reftest/bench [-n 3] [-dir DIR] [ROW...]
//
// It makes its input once, in DIR, and runs ours and the peer in turn. A time
// counts only after both images have been listed with contents' digests and the
// lists are equal. CPU and memory are sums over the processes of a pipeline.
// Peers that are not there are named as missing. MKFS_EROFS names another
// mkfs.erofs than the one in PATH.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// row is one kind of work: how ours does it, and a peer.
type row struct {
	name  string
	input string
	ours  [][]string // a pipeline; reads the input, writes the image
	peer  [][]string // with {in} and {out} replaced
}

func rows() []row {
	ours := [][]string{{"tar2tree"}, {"tree2erofs"}}
	mkfs := mkfsErofs()
	plain := func(args ...string) [][]string {
		return [][]string{append(append([]string{mkfs, "--quiet", "--tar=f"}, args...), "{out}", "{in}")}
	}
	return []row{
		{name: "gzip", input: "large.tar.gz", ours: ours, peer: plain("--ungzip")},
		{name: "plain", input: "large.tar", ours: ours, peer: plain("--sort=none", "-E^inline_data")},
		{name: "small", input: "small.tar", ours: ours, peer: plain()},
		{name: "directory", input: "directory.tar", ours: ours, peer: plain()},
	}
}

func main() {
	runs := flag.Int("n", 3, "runs of each, of which the median counts")
	dir := flag.String("dir", filepath.Join(os.TempDir(), "ocipipe-bench"), "where input and output lie")
	flag.Parse()
	if err := bench(*dir, *runs, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func bench(dir string, runs int, only []string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	fmt.Printf("%-10s %-12s %8s %8s %9s %10s  %s\n", "row", "by", "wall s", "CPU s", "RSS MiB", "image MB", "wall, CPU, size of the peer's")
	for _, r := range rows() {
		if len(only) > 0 && !slices.Contains(only, r.name) {
			continue
		}
		if err := r.run(dir, runs); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

func (r row) run(dir string, runs int) error {
	in, err := input(dir, r.input)
	if err != nil {
		return err
	}
	why := peerMissing(r.peer[0][0])
	a, b := filepath.Join(dir, "ours.erofs"), filepath.Join(dir, "peer.erofs")
	defer os.Remove(a)
	defer os.Remove(b)
	var ours, peer []sample
	for range runs {
		s, err := measure(r.ours, in, a)
		if err != nil {
			return err
		}
		ours = append(ours, s)
		if why != "" {
			continue
		}
		if s, err = measure(r.peer, in, b); err != nil {
			return err
		}
		peer = append(peer, s)
	}
	o := median(ours)
	if why != "" {
		o.print(r.name, "ours", "")
		fmt.Printf("%-10s %-12s missing: %s\n", r.name, "mkfs.erofs", why)
		return nil
	}
	if err := sameTree(a, b); err != nil {
		return err
	}
	p := median(peer)
	o.print(r.name, "ours", fmt.Sprintf("%.2f, %.2f, %.3f", o.wall/p.wall, o.cpu/p.cpu, o.size/p.size))
	p.print(r.name, "mkfs.erofs", "")
	return nil
}

func mkfsErofs() string {
	if path := os.Getenv("MKFS_EROFS"); path != "" {
		return path
	}
	return "mkfs.erofs"
}

// peerMissing says why mkfs.erofs cannot be compared with; "" if it can.
func peerMissing(tool string) string {
	path, err := exec.LookPath(tool)
	if err != nil {
		return "not installed"
	}
	help, _ := exec.Command(path, "--help").CombinedOutput()
	if !strings.Contains(string(help), "--tar") {
		return path + " knows no --tar; MKFS_EROFS names a newer one"
	}
	return ""
}

// sameTree compares all that two images hold.
func sameTree(a, b string) error {
	var lists [2][]byte
	for i, image := range []string{a, b} {
		out, err := exec.Command("erofs2tree", "--no-data", "--digest", image).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("list %s: %s", filepath.Base(image), exit.Stderr)
		} else if err != nil {
			return err
		}
		lists[i] = out
	}
	if bytes.Equal(lists[0], lists[1]) {
		return nil
	}
	x, y := bytes.Split(lists[0], []byte("\n")), bytes.Split(lists[1], []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return fmt.Errorf("the images differ:\n ours %s\n peer %s", x[i], y[i])
		}
	}
	return fmt.Errorf("the images have %d and %d entries", len(x), len(y))
}
