package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sample is one run of a pipeline.
type sample struct {
	wall, cpu float64 // seconds
	rss       float64 // MiB, the peaks of all processes added
	size      float64 // MB of output
}

func (s sample) print(row, by, note string) {
	fmt.Printf("%-10s %-12s %8.2f %8.2f %9.0f %10.1f  %s\n", row, by, s.wall, s.cpu, s.rss, s.size, note)
}

// measure runs the pipeline with in as its input and out as its output: both
// streams, unless a command names them as {in} and {out}.
func measure(pipeline [][]string, in, out string) (s sample, err error) {
	os.Remove(out)
	stdin, err := os.Open(in)
	if err != nil {
		return s, err
	}
	defer stdin.Close()
	var cmds []*exec.Cmd
	var pipes []*os.File // the parent's ends, to be closed once all have started
	next := stdin
	for _, args := range pipeline {
		cmd := exec.Command(args[0], fill(args[1:], in, out)...)
		cmd.Stdin, cmd.Stderr = next, &bytes.Buffer{}
		if len(cmds) < len(pipeline)-1 {
			r, w, err := os.Pipe()
			if err != nil {
				return s, err
			}
			cmd.Stdout, next = w, r
			pipes = append(pipes, r, w)
		}
		cmds = append(cmds, cmd)
	}
	if !strings.Contains(fmt.Sprint(pipeline), "{out}") {
		f, err := os.Create(out)
		if err != nil {
			return s, err
		}
		cmds[len(cmds)-1].Stdout = f
		pipes = append(pipes, f)
	}
	if s, err = timed(cmds, pipes); err != nil {
		return s, err
	}
	fi, err := os.Stat(out)
	if err == nil {
		s.size = float64(fi.Size()) / 1e6
	}
	return s, err
}

func fill(args []string, in, out string) []string {
	r := strings.NewReplacer("{in}", in, "{out}", out)
	filled := make([]string, len(args))
	for i, a := range args {
		filled[i] = r.Replace(a)
	}
	return filled
}

func timed(cmds []*exec.Cmd, pipes []*os.File) (s sample, err error) {
	start := time.Now()
	for _, cmd := range cmds {
		err = errors.Join(err, cmd.Start())
	}
	for _, p := range pipes {
		p.Close()
	}
	for _, cmd := range cmds {
		if cmd.Process == nil {
			continue
		}
		if werr := cmd.Wait(); werr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), werr, cmd.Stderr))
		}
		usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		s.cpu += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		s.rss += float64(usage.Maxrss) / 1024
	}
	s.wall = time.Since(start).Seconds()
	return s, err
}

// median takes each figure by itself.
func median(samples []sample) sample {
	mid := func(of func(sample) float64) float64 {
		var v []float64
		for _, s := range samples {
			v = append(v, of(s))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return sample{
		wall: mid(func(s sample) float64 { return s.wall }), cpu: mid(func(s sample) float64 { return s.cpu }),
		rss: mid(func(s sample) float64 { return s.rss }), size: mid(func(s sample) float64 { return s.size }),
	}
}
