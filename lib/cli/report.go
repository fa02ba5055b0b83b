package cli

import (
	"io/fs"
	"os"
	"path/filepath"
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
	info  fs.FileInfo      // of a file, pipe or device that existed; else nil
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
func (e *Env) openReport(progressFD *int) (err error) {
	r := &e.report
	switch path, n := r.flags.ReportFile, r.flags.ReportFD; {
	case n != nil && progressFD != nil && *n == *progressFD:
		return Usage("--report-fd and --progress-fd are the same")
	case n != nil:
		if r.to, err = takeDescriptor(*n); err != nil {
			return Usage("--report-fd %d: %v", *n, err)
		}
		r.info, err = r.to.Stat()
	case path == "":
		return nil
	case path == "-":
		if err := e.checkStdout(); err != nil {
			return err
		}
		e.Expect(path)
		return nil
	default:
		if err := e.createReport(path); err != nil {
			return err
		}
	}
	if err == nil && r.info != nil {
		err = e.addTarget(r.info)
	}
	e.addOutput(r)
	return err
}

// createReport opens the file at path. A pipe waits for its reader.
func (e *Env) createReport(path string) (err error) {
	r := &e.report
	switch r.info, err = os.Stat(path); {
	case err != nil:
		r.info = nil
	case r.info.Mode().Type() == fs.ModeDevice:
		return Usage("%s: is a disk, and no place for a report", path)
	}
	if r.file, err = atomicfile.Create(path); err != nil {
		return err
	}
	r.to = r.file.File
	if e.noSync {
		r.file.NoSync()
	}
	return nil
}

// clashes returns an error if the report goes where the output at path does, whose info is nil
// if there is none yet.
func (r *reporting) clashes(path string, info fs.FileInfo) error {
	switch {
	case r.flags.ReportFile == "-" && isStandard(path):
		return Hint(Usage("--report=-: standard output is the output already"), "name a file: --report=FILE, or -o FILE")
	case r.info != nil && info != nil && os.SameFile(r.info, info) && !isHarmless(info):
		return Usage("%s: is the report and the output at once", nameOf(path))
	case r.file != nil && info == nil && r.info == nil && !isStandard(path) && sameName(path, r.flags.ReportFile):
		return Usage("%s: is the report and the output at once", path)
	}
	return nil
}

// isHarmless reports whether info is a terminal or /dev/null, or such a device, to which several
// things may be written.
func isHarmless(info fs.FileInfo) bool { return info.Mode()&fs.ModeCharDevice != 0 }

func nameOf(path string) string {
	if isStandard(path) {
		return stdoutName
	}
	return path
}

// sameName reports whether both paths are the same name in the same directory.
func sameName(a, b string) bool {
	if filepath.Base(a) != filepath.Base(b) {
		return false
	}
	x, err := os.Stat(filepath.Dir(a))
	if err != nil {
		return false
	}
	y, err := os.Stat(filepath.Dir(b))
	return err == nil && os.SameFile(x, y)
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
