package cli

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"ocipipe/lib/tree"
	"os"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// commonFlags are in every tool.
type commonFlags struct {
	Quiet bool `group:"Other" help:"Write no warnings."`
	progressFlags
	Version    version    `group:"Other" help:"Print the version and exit."`
	Help       help       `group:"Other" short:"h" help:"Print this and exit."`
	Man        man        `hidden:"" help:"Print the man page, in mdoc."`
	Completion completion `hidden:"" placeholder:"SHELL" help:"Print the completion for bash, zsh or fish."`
}

// sharedTexts say more about flags that several tools have: see [Manual].
var sharedTexts = map[string]string{
	"quiet":          "Progress is not shown either, unless --progress or --progress-fd asks for it.",
	"progress":       "It is shown on standard error. tty draws bars, plain writes lines for a log, json writes objects for programs, and none shows nothing. auto is tty on a terminal, or plain if that is not the controlling one, as in the logs of some build systems, unless the input is a pipe to which another tool still writes, and otherwise none. A line of JSON is an object with tool, event (queued, start, progress, retry, done, skipped, failed), id and name of the piece of work, done and total in bytes, rate in bytes a second, left and elapsed in seconds; where it applies attempt, wait, error and reason, and for layers layer and digest. Unknown values are left out. Lines that are not read in time are dropped.",
	"progress-fd":    "It is written as JSON unless the descriptor is a terminal or --progress says otherwise.",
	"output":         "FILE is written completely or not at all: after a failure it is as it was before. A pipe or a device is written as it is. Without this flag, and for -, standard output is written.",
	"no-sync":        "Even so FILE is written completely or not at all, whatever ends the tool; but after a crash of the machine or a loss of power it may be damaged.",
	"depfile":        "The files are those that were read by a name, also those that lie in the directory of an image, or that a list of patches names; not standard input, nor what came from a registry or a cache. The rules are for an include line of make, or depfile of ninja. Each file is a target without a recipe too, so that make does not stop where one was removed. FILE is written when the output is complete.",
	"depfile-target": "With it, the output may be standard output: what another program makes of it is NAME.",
	"report": "It is an object: version of the form (1), tool, tool_version, warnings, duration_seconds and, where it applies, format, media_type, output (path; absent for standard output), digest, diff_id, size and allocated in bytes, uuid, block_size, disk_size, counts of the entries by type, kernel (the oldest Linux that mounts it), kernel_config and features; of images of containers reference, tags, manifest, config, platform, layers and blobs; snapshot. What is unknown is left out. " +
		"FILE is opened before the work begins, and replaced once the output is complete; if the tool fails, it is as it was. If the report cannot be written the tool fails, and the output stays. - is standard output, if that is not the output. A named pipe waits for its reader.",
	"report-fd":     "It is 3 or more, and is closed when the report has been written.",
	"report-digest": "With no, the report of a sparse disk takes no time: a second for one or two gigabytes of holes otherwise.",
	"tmpdir":        "Without this flag it is the directory of the --output file, or else $TMPDIR.",

	"max-entries":     "Directories that a path implies, without an entry of their own, count too. 0 is no limit, here and for the other limits.",
	"max-xattr-bytes": "They count in base64, as a tree stream has them.",
	"max-tree-memory": "Of an image or a layer, names, link targets and extended attributes count, and 400 bytes for each entry or implied directory. Contents do not.",

	"platform":             "It may have a variant: linux/arm/v7. Without this flag linux on the processor of this machine is chosen from an index, and an image that is the only one is taken whatever its platform.",
	"allow-other-platform": "A warning says so.",
	"no-data":              "Alone it is for people and for gomtree; --no-data=portable is for bsdtar and mtree of NetBSD.",
	"max-digest-holes":     "A gigabyte or so is hashed in a second.",
	"journal":              "It is 4M or more. Without this flag it has the length that mke2fs chooses, up to 1G. It takes no space before it is used.",

	"mtime":       "TIME is a number of seconds since 1970, with up to nine decimals, or a date in the form of RFC 3339, such as 2024-01-31T12:00:00Z.",
	"clamp-mtime": "TIME has the form that --mtime takes.",
	"check":       "All of it is read, contents too, and a difference is an error.",
	"require-crc": "tar2tree and erofs2tree always write one. A stream that was written by hand may have none.",
}

// TextOutput is the flag -o, to be embedded by tools whose output is a little text.
type TextOutput struct {
	Path string `name:"output" short:"o" placeholder:"FILE" group:"Output" help:"Write FILE instead of standard output."`
}

// Output is TextOutput and the flags --no-sync, which Stream and Image heed, --depfile, and
// those of a report, to be embedded by tools whose output is large.
type Output struct {
	TextOutput
	Depfile
	NoSync noSync `group:"Output" help:"Do not wait until FILE is on the disk."`
	Report
	ReportDigest
}

// noSync is the flag --no-sync.
type noSync bool

// AfterApply tells env.
func (n noSync) AfterApply(env *Env) error {
	env.noSync = bool(n)
	return nil
}

// Temp is the flag --tmpdir, to be embedded by tools that spool.
type Temp struct {
	Dir string `name:"tmpdir" placeholder:"DIR" group:"Output" help:"Directory for temporary files."`
}

// Time is a flag that holds a moment: seconds since 1970, which may be negative and have up
// to nine decimals, or RFC 3339. It converts to tree.Time, and a *Time, which is nil where
// the flag is absent, to *tree.Time.
type Time struct {
	Sec  int64
	Nsec uint32
}

// UnmarshalText parses the value of the flag.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, ok := tree.ParseTime(string(text))
	if !ok {
		return fmt.Errorf("%q is not a time: want seconds since 1970 or, say, 2024-01-31T12:00:00Z", text)
	}
	*t = Time(parsed)
	return nil
}

// decodeString decodes a string of any bytes.
func decodeString(ctx *kong.DecodeContext, target reflect.Value) error {
	text, err := popString(ctx)
	target.SetString(text)
	return err
}

// popString returns the value of a flag, or an argument. Kong's own way to a string goes by
// JSON, and changes names of files that are not UTF-8.
func popString(ctx *kong.DecodeContext) (string, error) {
	t, err := ctx.Scan.PopValue("string")
	if err != nil {
		return "", err
	}
	text, ok := t.Value.(string)
	if !ok {
		return "", fmt.Errorf("%v is not a string", t.Value)
	}
	return text, nil
}

// decodeSize decodes the kong type "size" into an integer field: bytes, or multiples of
// 1024 with K, M, G, T (or KiB and so on).
func decodeSize(ctx *kong.DecodeContext, target reflect.Value) error {
	var s string
	if err := ctx.Scan.PopValueInto("size", &s); err != nil {
		return err
	}
	n, err := ParseSize(s)
	if err != nil {
		return err
	}
	tooLarge := fmt.Errorf("%q is too large", s)
	if target.CanUint() {
		if target.OverflowUint(uint64(n)) {
			return tooLarge
		}
		target.SetUint(uint64(n))
		return nil
	}
	if target.OverflowInt(n) {
		return tooLarge
	}
	target.SetInt(n)
	return nil
}

// ParseSize reads a size as flags have it: bytes, or multiples of 1024 with K, M, G or T.
func ParseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "KMGTiB")
	shift, ok := map[string]int{"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[s[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 63)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q is not a size: want bytes, or 64K, 64M, 4GiB", s)
	}
	if n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return int64(n) << shift, nil
}

// describe returns the help of v, with the default that kong leaves out if the flag has a
// placeholder.
func describe(v *kong.Value) string {
	text := kong.DefaultHelpValueFormatter(v)
	if v.Flag == nil || !v.HasDefault || v.Flag.PlaceHolder == "" || v.Flag.PlaceHolder == v.Default || v.Default == "" {
		return text
	}
	return strings.TrimSuffix(text, ".") + " (default " + v.Default + ")."
}

// sourceDateEpoch parses SOURCE_DATE_EPOCH as reproducible-builds.org specifies
// it: seconds since 1970. Empty counts as absent.
func sourceDateEpoch(s string) (*int64, error) {
	if s == "" {
		return nil, nil
	}
	const year10000 = 253402300800
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n >= year10000 {
		return nil, Usage("SOURCE_DATE_EPOCH: %q is not a number of seconds since 1970", s)
	}
	epoch := int64(n)
	return &epoch, nil
}

// printed ends the parsing once a flag such as --help has been served.
type printed struct{ err error }

func (p *printed) Error() string { return "printed" }

// help is the flag --help.
type help bool

// BeforeReset prints the help before kong complains of missing arguments.
func (help) BeforeReset(ctx *kong.Context) error {
	return &printed{ctx.PrintUsage(false)}
}

// version is the flag --version.
type version bool

// BeforeReset prints the name and the version of the tool.
func (version) BeforeReset(ctx *kong.Context) error {
	_, err := fmt.Fprintln(ctx.Stdout, ctx.Model.Name, ownVersion())
	return &printed{err}
}

// man is the flag --man.
type man bool

// BeforeReset prints the man page.
func (man) BeforeReset(ctx *kong.Context, m *Manual) error {
	epoch, err := sourceDateEpoch(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return &printed{err}
	}
	info, _ := debug.ReadBuildInfo()
	_, err = io.WriteString(ctx.Stdout, m.page(ctx.Model, pageDate(epoch, info)))
	return &printed{err}
}

// completion is the flag --completion.
type completion string

// BeforeReset prints the completion for the shell.
func (completion) BeforeReset(ctx *kong.Context, m *Manual, at *kong.Path) error {
	shell := ctx.FlagValue(at.Flag).(completion)
	write := completions[string(shell)]
	if write == nil {
		return fmt.Errorf("--completion: %q is not bash, zsh or fish", string(shell))
	}
	_, err := io.WriteString(ctx.Stdout, write(m, ctx.Model))
	return &printed{err}
}

// release is the version that "make dist" tells the linker, or "". Git need not know it.
var release string

// ownVersion is the version of this program.
func ownVersion() string {
	info, _ := debug.ReadBuildInfo()
	return cmp.Or(release, versionText(info))
}

// versionText returns the module's version with the revision that it was built from:
// "v1.2.0 (0123456789ab)", or "(devel)" if the build recorded neither.
func versionText(info *debug.BuildInfo) string {
	if info == nil {
		return "(unknown)"
	}
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	text := info.Main.Version
	if text == "" {
		text = "(devel)"
	}
	rev := set["vcs.revision"]
	if rev == "" {
		return text
	}
	if len(rev) > 12 {
		rev = rev[:12]
	}
	if strings.Contains(text, rev) {
		return text // a pseudo-version, which contains the revision
	}
	if set["vcs.modified"] == "true" {
		rev += ", modified"
	}
	return text + " (" + rev + ")"
}
