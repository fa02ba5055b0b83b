// Package cli is what every tool shares at its edge: flags, standard streams,
// output files, messages, exit codes and signals. Only cmd/ imports it.
//
// A tool is a struct of kong flags with a Run method:
//
//	type tool struct {
//		cli.Output
//		Input string `arg:"" optional:"" default:"-" help:"..."`
//	}
//
//	func main() { cli.Main("tree2x", "Turn a tree stream into ...", &tool{}) }
//
//	func (t *tool) Run(env *cli.Env) error {
//		in, err := env.Open(t.Input)
//		if err != nil {
//			return err
//		}
//		defer in.Close()
//		out, err := env.Stream(t.Output.Path, cli.Binary)
//		if err != nil {
//			return err
//		}
//		if err := lib.Convert(out, in); err != nil {
//			return err // the output is aborted
//		}
//		return out.Commit()
//	}
//
// What Run returns is printed once, as "tool: where: what: cause", and decides
// the exit code:
//
//	0    nil: done, every output committed
//	1    any other error
//	2    an error made by [Usage], or by kong
//	75   an error with a method Temporary() bool that returns true, the first
//	     in the chain that has it (syscall.Errno's own does not count)
//	128+n  the process died of signal n; SIGPIPE where stdout was closed;
//	     SIGHUP and SIGINT only if they were not ignored at the start
//
// "tool: hint: ..." follows where [Hint] has added advice to the error, or else where
// the tool is an [Adviser] that has some: libraries return typed errors, and the tools
// know the flags that help.
package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Tool is a pointer to a struct of kong flags and arguments. Run does the work;
// outputs that it has opened but not committed when it returns are aborted.
type Tool interface {
	Run(env *Env) error
}

// Adviser is a Tool that knows what helps against the errors of the libraries it
// uses.
type Adviser interface {
	// Advise returns a hint for err, best the flag or the next command to try, or "".
	Advise(err error) string
}

// The exit codes.
const (
	exitOK        = 0
	exitFailed    = 1
	exitUsage     = 2
	exitTemporary = 75
	exitPipe      = 128 + int(syscall.SIGPIPE)
)

// Main runs tool on the arguments and streams of the process and ends the
// process. It adds the flags --help, --version, --quiet, --progress and --progress-fd
// to those of tool.
func Main(name, about string, tool Tool) {
	if os.Getenv("GOGC") == "" {
		limitGarbage()
	}
	env := newEnv(name, Streams{os.Stdin, os.Stdout, os.Stderr})
	if err := restoreClosed(); err != nil {
		os.Exit(env.report(err))
	}
	env.catchSignals()
	os.Exit(env.run(about, tool, os.Args[1:]))
}

// limitGarbage lets garbage be half of what is in use, not as much again, and of a
// large heap about a fifth, so that a process keeps to what it may take for each entry.
// Before the heap has 8 MiB nothing is collected, which would be a third of the work of
// a process that does little.
func limitGarbage() {
	debug.SetGCPercent(200) // of the least heap that the runtime counts with, 4 MiB
	afterCollection(func() { debug.SetGCPercent(garbage(inUse())) })
}

// garbage is how many percent of what is in use, in bytes, may be garbage besides.
func garbage(inUse uint64) int {
	if inUse < largeHeap {
		return 50
	}
	return max(18, int(50*largeHeap/inUse))
}

const largeHeap = 64 << 20

// inUse is what the last collection has left.
func inUse() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// afterCollection has fn called after each collection.
func afterCollection(fn func()) {
	runtime.SetFinalizer(new([16]byte), func(*[16]byte) {
		fn()
		afterCollection(fn)
	})
}

// Run is Main for tests: the same on other arguments and streams, without
// signals. It returns the exit code, 141 where the process would have died of
// SIGPIPE.
func Run(name, about string, tool Tool, args []string, s Streams) int {
	return newEnv(name, s).run(about, tool, args)
}

func (e *Env) run(about string, tool Tool, args []string) int {
	done, err := e.parse(about, tool, args)
	if err == nil && !done {
		err = tool.Run(e)
		if err != nil && hintOf(err) == "" {
			err = Hint(err, advice(tool, err))
		}
	}
	open := e.end(err == nil)
	if err == nil && open != "" {
		err = fmt.Errorf("%s: output was not completed", open)
	}
	return e.report(err)
}

// advice is the hint that tool has for err, or else that of all tools, or "".
func advice(tool Tool, err error) string {
	if a, ok := tool.(Adviser); ok {
		if hint := a.Advise(err); hint != "" {
			return hint
		}
	}
	return advise(err)
}

// parse fills tool and e from the arguments and the environment. It is done
// where a flag such as --help was all there was to do.
func (e *Env) parse(about string, tool Tool, args []string) (done bool, err error) {
	var common struct {
		Quiet bool `help:"No warnings, and no progress unless it is asked for."`
		progressFlags
		Version version `help:"Print the version and exit."`
		Help    help    `short:"h" help:"Print this and exit."`
	}
	p, err := kong.New(tool, kong.Name(e.name), kong.Description(about),
		kong.NoDefaultHelp(), kong.Embed(&common), kong.Writers(e.Stdout, e.stderr),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}), kong.ValueFormatter(describe),
		kong.NamedMapper("size", kong.MapperFunc(decodeSize)))
	if err != nil {
		panic(err) // the struct is wrong, not the input
	}
	var shown *printed
	parsed, err := p.Parse(args)
	if errors.As(err, &shown) {
		return true, cmp.Or(e.checkStdout(), shown.err)
	}
	if err == nil {
		err = checkEmpty(parsed)
	}
	if err != nil {
		return false, &usageError{text: usageText(err), hint: "see " + e.name + " --help"}
	}
	e.Quiet = common.Quiet
	if e.Epoch, err = sourceDateEpoch(os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		return false, err
	}
	return false, e.showProgress(common.progressFlags)
}

// checkEmpty refuses a flag whose value was given as "", as by a shell variable that
// is not set: a tool would do as if the flag were not there.
func checkEmpty(parsed *kong.Context) error {
	for _, p := range parsed.Path {
		if p.Flag == nil || p.Resolved {
			continue
		}
		switch v := p.Flag.Target; v.Kind() {
		case reflect.String, reflect.Slice: // kong makes nothing of an empty list
			if v.Len() == 0 {
				return fmt.Errorf("--%s: value is empty", p.Flag.Name)
			}
		}
	}
	return nil
}

// usageText is what kong says, but for its words about a missing value.
func usageText(err error) string {
	if flag, ok := strings.CutSuffix(err.Error(), ` value but got "EOL" (<EOL>)`); ok {
		flag, _, _ = strings.Cut(flag, ": expected ")
		return flag + ": value is missing"
	}
	return err.Error()
}
