package cli

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/blockio"
	"ocipipe/lib/cli/report"
	"ocipipe/lib/oci/printable"
	"ocipipe/lib/osfile"
)

// measured is what the report says of an output.
type measured struct {
	path string    // "" for standard output
	sum  hash.Hash // nil: no digest
	size int64
}

// Measure makes f, the file at path, the output that the report is about. It reads all of it
// for the digest, unless that is not wanted or f is not a regular file.
func (e *Env) Measure(path string, f *os.File) error {
	m := e.measure(path)
	if m == nil {
		return nil
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		m.sum = nil
	}
	return e.readBack(m, f)
}

// measure returns what has to be told of the output at path, or nil if no report is about it.
func (e *Env) measure(path string) *measured {
	if !e.Reports() || e.report.elsewhere || e.report.instead != nil || e.report.output != nil {
		return nil
	}
	m := &measured{}
	if !isStandard(path) {
		m.path = path
	}
	if !e.report.noDigest {
		m.sum = sha256.New()
	}
	e.report.output = m
	return m
}

// OutputDigest is the digest of the output, which is complete, or "" if it is not known.
func (e *Env) OutputDigest() digest.Digest {
	if m := e.report.output; m != nil && m.sum != nil {
		return digest.NewDigest(digest.SHA256, m.sum)
	}
	return ""
}

// readBack measures f, which is complete. It does not read holes.
func (e *Env) readBack(m *measured, f *os.File) (err error) {
	if m.size, err = f.Seek(0, io.SeekEnd); err != nil || m.sum == nil {
		return err
	}
	bar := e.progress.Start("hash the output", m.size)
	err = blockio.CopyExpanded(e.Context, barWriter{m.sum, bar}, f, m.size)
	bar.Done(err)
	return err
}

// writeReport writes the report, once all else is done.
func (e *Env) writeReport() error {
	r := &e.report
	for _, o := range e.outputs {
		if o != output(r) && o.pending() != "" {
			return nil // end says so
		}
	}
	if !e.Reports() {
		return nil
	}
	err := e.completeReport()
	if err != nil {
		err = Hint(err, "the output is complete; only the report is missing")
	}
	return err
}

func (e *Env) completeReport() error {
	r := &e.report
	if err := r.checkOverwrite(); err != nil {
		return err
	}
	doc := r.instead
	if doc == nil {
		if err := e.completeResult(); err != nil {
			return err
		}
		doc = &r.result
	}
	to := r.to
	if to == nil {
		e.noteLastWrite()
		to = e.Stdout
	}
	if _, err := to.Write(printable.Encode(doc)); err != nil {
		if r.to == nil && isBrokenPipe(err) {
			e.dieOfPipe()
		}
		return err
	}
	switch {
	case r.file != nil:
		if err := r.file.Commit(); err != nil {
			return err
		}
	case r.to != nil:
		if err := r.to.Close(); err != nil {
			return err
		}
	default:
		if err := closeCopy(to); err != nil {
			return err
		}
	}
	r.ended.Store(true)
	return nil
}

// checkOverwrite returns an error if the report would replace the output, which was not there
// when that could be seen before.
func (r *reporting) checkOverwrite() error {
	if r.file == nil || r.output == nil || r.output.path == "" {
		return nil
	}
	made, err := os.Stat(r.output.path)
	if err != nil {
		return err
	}
	if now, err := os.Stat(r.flags.ReportFile); err == nil && os.SameFile(now, made) && !isHarmless(made) {
		return fmt.Errorf("%s: is the output, which is not overwritten", r.flags.ReportFile)
	}
	return nil
}

// completeResult adds what is known of every output.
func (e *Env) completeResult() error {
	r := &e.report
	r.result.Version, r.result.Tool, r.result.ToolVersion = report.Version, e.name, ownVersion()
	r.result.Warnings = r.warnings.Load()
	if m := r.output; m != nil && !r.elsewhere {
		if err := e.describeOutput(m); err != nil {
			return err
		}
	}
	r.result.Seconds = math.Round(time.Since(r.started).Seconds()*1000) / 1000
	return nil
}

func (e *Env) describeOutput(m *measured) error {
	r := &e.report
	r.result.Size = &m.size
	r.result.Digest = e.OutputDigest()
	info, err := e.Stdout.Stat()
	if m.path != "" {
		if info, err = os.Stat(m.path); err != nil {
			return err
		}
		r.result.Output = absolute(m.path)
	}
	if err == nil && info.Mode().IsRegular() {
		allocated := osfile.Allocated(info)
		r.result.Allocated = &allocated
	}
	return nil
}

// absolute returns path as an absolute one, or "" if JSON cannot tell it.
func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil || !utf8.ValidString(abs) {
		return ""
	}
	return abs
}
