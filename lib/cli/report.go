package cli

import (
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/cli/report"
	"ocipipe/lib/tree"
)

// Report holds the flags about the report of what was made. Output has them; tools without
// that embed them.
type Report struct {
	ReportFile string `name:"report" xor:"report" placeholder:"FILE" group:"Output" help:"Write what was made to FILE too, as JSON."`
	ReportFD   *int   `name:"report-fd" xor:"report" placeholder:"N" group:"Output" help:"The same to file descriptor N."`
}

// Wanted reports whether one of the flags was given.
func (r Report) Wanted() bool { return r.ReportFile != "" || r.ReportFD != nil }

// AfterApply tells env.
func (r Report) AfterApply(env *Env) error {
	env.report.flags = r
	return nil
}

// ReportDigest is the flag --report-digest, to be embedded beside Report.
type ReportDigest struct {
	Digest string `name:"report-digest" enum:"yes,no" default:"yes" placeholder:"yes|no" group:"Output" help:"Hash the output for the report."`
}

// AfterApply tells env.
func (r ReportDigest) AfterApply(env *Env) error {
	env.report.noDigest = r.Digest == "no"
	return nil
}

// reporting is the report of a running tool. It is an output: it is aborted if the tool
// fails.
type reporting struct {
	flags    Report
	noDigest bool

	result    report.Result
	instead   any
	elsewhere bool      // Output, Digest and Size are not those of the output
	output    *measured // the first Stream or Image, or what Measure was called for; nil: none yet

	started  time.Time
	warnings atomic.Int64

	to    *os.File         // where it goes; nil: nowhere, or to standard output
	file  *atomicfile.File // the same, for --report=FILE
	ended atomic.Bool
}

// Reports reports whether the user wants a report. Otherwise what Result is told goes nowhere.
func (e *Env) Reports() bool { return e.report.flags.Wanted() }

// Digests is Reports where the report is to have digests, too.
func (e *Env) Digests() bool { return e.Reports() && !e.report.noDigest }

// Result is what the report will say. The tool fills in what it knows of what it makes. Added
// are the path, the digest and the size of the output, which is the first that is opened by
// Stream or Image, the duration, the warnings, and without Counts the entries that pass
// through Copy.
func (e *Env) Result() *report.Result { return &e.report.result }

// MadeElsewhere says that the tool makes something else than its output, at path, or "" if
// that is no file: Result has the digest and the size, if there are any. It is called before
// the output is opened.
func (e *Env) MadeElsewhere(path string) {
	e.report.elsewhere = true
	if path != "" {
		e.report.result.Output = absolute(path)
	}
}

// ReportInstead makes v the report, in place of Result.
func (e *Env) ReportInstead(v any) { e.report.instead = v }

// Counts returns where a library puts what is in the image that it makes, or nil without a
// report.
func (e *Env) Counts() *tree.Counts {
	if !e.Reports() {
		return nil
	}
	e.report.result.Counts = &tree.Counts{}
	return e.report.result.Counts
}

// openReport opens what the report goes to, before the work begins.
func (e *Env) openReport(progressFD *int) error {
	switch path, n := e.report.flags.ReportFile, e.report.flags.ReportFD; {
	case n != nil && progressFD != nil && *n == *progressFD:
		return Usage("--report-fd and --progress-fd are the same")
	case n != nil:
		return e.takeReport(*n)
	case path == "":
		return nil
	case path == "-":
		if err := e.checkStdout(); err != nil {
			return err
		}
		e.Expect(path)
		info, err := e.Stdout.Stat()
		return e.addTarget("report", path, info, err)
	default:
		return e.createReport(path)
	}
}

// takeReport takes descriptor n.
func (e *Env) takeReport(n int) (err error) {
	r := &e.report
	if r.to, err = takeDescriptor(n); err != nil {
		return Usage("--report-fd %d: %v", n, err)
	}
	e.addOutput(r)
	info, err := r.to.Stat()
	return e.addTarget("report", r.to.Name(), info, err)
}

// createReport opens the file at path. A pipe waits for its reader.
func (e *Env) createReport(path string) error {
	r := &e.report
	info, missing := os.Stat(path)
	if missing == nil && info.Mode().Type() == fs.ModeDevice {
		return Usage("%s: is a disk, and no place for a report", path)
	}
	file, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	r.file, r.to = file, file.File
	if e.noSync {
		r.file.NoSync()
	}
	e.addOutput(r)
	return e.addTarget("report", path, info, missing)
}

// Abort gives up the report.
func (r *reporting) Abort() {
	if r.ended.Swap(true) {
		return
	}
	if r.file != nil {
		r.file.Abort()
	} else if r.to != nil {
		r.to.Close()
	}
}

func (r *reporting) pending() string {
	if r.ended.Load() {
		return ""
	}
	return "report"
}

func (r *reporting) flush() {}
