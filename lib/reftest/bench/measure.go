package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sample is one run of a pipeline.
type sample struct {
	wall, cpu      float64 // seconds
	sumRSS, maxRSS float64 // MiB: the peaks of all processes added, and the largest
	size           float64 // MB of output
}

func (s sample) Wall() float64   { return s.wall }
func (s sample) CPU() float64    { return s.cpu }
func (s sample) SumRSS() float64 { return s.sumRSS }
func (s sample) MaxRSS() float64 { return s.maxRSS }
func (s sample) Size() float64   { return s.size }

// measure runs a line such as "a | b {out}" with in as its input and out as its
// output: both streams, unless a command names them as {in} and {out}.
func measure(line, in, out string) (s sample, err error) {
	os.RemoveAll(out)
	syscall.Sync() // the writes that an earlier run has left must not count
	cmds, files, err := pipeline(line, in, out)
	if err != nil {
		return s, err
	}
	return timed(cmds, files)
}

// pipeline connects the commands. The caller closes the files once all have started.
func pipeline(line, in, out string) (cmds []*exec.Cmd, files []*os.File, err error) {
	stages := strings.Split(line, " | ")
	for i, stage := range stages {
		words := strings.Fields(stage)
		for j := range words {
			words[j] = fill(words[j], in, out)
		}
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Stderr = &bytes.Buffer{}
		if i > 0 {
			r, w, err := os.Pipe()
			if err != nil {
				return nil, nil, err
			}
			cmd.Stdin, cmds[i-1].Stdout = r, w
			files = append(files, r, w)
		}
		cmds = append(cmds, cmd)
	}
	if !strings.Contains(line, "{in}") && !strings.Contains(line, "{work}") {
		f, err := os.Open(in)
		if err != nil {
			return nil, nil, err
		}
		cmds[0].Stdin, files = f, append(files, f)
	}
	if !strings.Contains(line, "{out}") {
		f, err := os.Create(out)
		if err != nil {
			return nil, nil, err
		}
		cmds[len(cmds)-1].Stdout, files = f, append(files, f)
	}
	return cmds, files, nil
}

func fill(s, in, out string) string {
	return strings.NewReplacer("{in}", in, "{out}", out, "{work}", workDir(out)).Replace(s)
}

// workDir returns the directory with the prepared input of a row, beside its output.
func workDir(out string) string { return filepath.Join(filepath.Dir(out), "work") }

func timed(cmds []*exec.Cmd, files []*os.File) (s sample, err error) {
	start := time.Now()
	for _, cmd := range cmds {
		err = errors.Join(err, cmd.Start())
	}
	for _, f := range files {
		f.Close()
	}
	for _, cmd := range cmds {
		if cmd.Process == nil {
			continue
		}
		if werr := cmd.Wait(); werr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), werr, cmd.Stderr))
		}
		rss := float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
		s.cpu += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		s.sumRSS += rss
		s.maxRSS = max(s.maxRSS, rss)
	}
	s.wall = time.Since(start).Seconds()
	return s, err
}

// sizeOf returns the size, in MB, of a file or of all files below a directory. If sparse it
// counts only allocated blocks.
func sizeOf(path string, sparse bool) (mb float64, err error) {
	err = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().IsRegular() {
			size := info.Size()
			if sparse {
				size = info.Sys().(*syscall.Stat_t).Blocks * 512
			}
			mb += float64(size) / 1e6
		}
		return err
	})
	return mb, err
}

// median returns the median of each figure by itself.
func median(samples []sample) sample {
	mid := func(of func(sample) float64) float64 {
		var v []float64
		for _, s := range samples {
			v = append(v, of(s))
		}
		return middle(v)
	}
	return sample{mid(sample.Wall), mid(sample.CPU), mid(sample.SumRSS), mid(sample.MaxRSS), mid(sample.Size)}
}

func middle(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
