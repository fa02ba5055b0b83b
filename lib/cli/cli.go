// Package cli holds what every tool shares at its edge: flags, standard streams,
// output files, messages, exit codes and signals. Only cmd/ imports it.
//
// A tool is a struct of kong flags with a Run method, and a [Manual] in help.go. Both
// together make --help, the man page and the completion in shells:
//
//	type tool struct {
//		cli.Output
//		Input string `arg:"" optional:"" default:"-" help:"..."`
//	}
//
//	func main() { cli.Main(manual, &tool{}) }
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
// A tool that does several things has a command for each: a field with the tag cmd:"",
// which is a struct with the flags and arguments of the command. The flags of the tool
// itself go with every command. Run finds the command that was given in [Env.Command].
//
// What Run returns is printed once, as "tool: where: what: cause", and decides
// the exit code:
//
//	0    nil: done, every output committed
//	1    any other error
//	2    an error made by [Usage], or by kong
//	75   an error with a method Temporary() bool that returns true, the first
//	     in the chain that has it (syscall.Errno's own does not count)
//	128+n  the process died of signal n; SIGPIPE if the reader of stdout left;
//	     SIGHUP and SIGINT only if they were not ignored at the start
//
// "tool: hint: ..." follows if [Hint] has added advice to the error, or else if the tool
// is an [Adviser] with advice for it: libraries return typed errors, and the tools know
// the flags that help.
package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
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
	// Advise returns a hint for err, preferably the flag or command to try next, or "".
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
// to those of tool, and the hidden --man and --completion=SHELL for
// packages.
func Main(m Manual, tool Tool) {
	if os.Getenv("GOGC") == "" {
		limitGarbage()
	}
	env := newEnv(m.Name, Streams{os.Stdin, os.Stdout, os.Stderr})
	if err := restoreClosed(); err != nil {
		os.Exit(env.exitCode(err))
	}
	log.SetOutput(io.Discard) // net/http reports what servers do against the protocol
	env.catchSignals()
	os.Exit(env.run(&m, tool, os.Args[1:]))
}

// limitGarbage limits garbage to half of the live heap, where Go's default is all of it,
// and to about a fifth of a large heap, so that a process stays within its memory for each
// entry. A small heap may have minGarbage: a tree that grows would be collected at 8, 12,
// 18 and 27 MiB otherwise, for little memory.
func limitGarbage() {
	percent := 100 * minGarbage / (4 << 20) // of the smallest heap that the runtime assumes
	debug.SetGCPercent(percent)
	afterCollection(func() {
		percent = garbage(inUse(percent))
		debug.SetGCPercent(percent)
	})
}

// garbage returns how much garbage a live heap of inUse bytes may have, in percent of it.
func garbage(inUse uint64) int {
	switch {
	case inUse < 2*minGarbage:
		return int(100 * minGarbage / max(inUse, 1<<20))
	case inUse < largeHeap:
		return 50
	}
	return max(18, int(50*largeHeap/inUse))
}

const (
	minGarbage = 16 << 20 // bytes
	largeHeap  = 64 << 20 // bytes
)

// inUse returns about how many bytes the last collection found in use, from the size at
// which, with so many percent of garbage, the next one begins. The package runtime/metrics
// knows better, but takes 0.1 ms when a process begins.
func inUse(percent int) uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.NextGC / uint64(100+percent) * 100
}

// afterCollection makes the runtime call fn after each collection.
func afterCollection(fn func()) {
	runtime.SetFinalizer(new([16]byte), func(*[16]byte) {
		fn()
		afterCollection(fn)
	})
}

// Run is Main for tests: it takes other arguments and streams, and leaves signals alone. It
// returns the exit code, which is 141 where the process would have died of SIGPIPE.
func Run(m Manual, tool Tool, args []string, s Streams) int {
	return newEnv(m.Name, s).run(&m, tool, args)
}

func (e *Env) run(m *Manual, tool Tool, args []string) int {
	done, err := e.parse(m, tool, args)
	if err == nil && !done {
		err = tool.Run(e)
		if err == nil {
			err = e.endDepfile()
		}
		if err != nil && hintOf(err) == "" {
			err = Hint(err, advice(tool, err))
		}
		if err == nil {
			err = e.writeReport()
		}
	}
	open := e.end(err == nil)
	if err == nil && open != "" {
		err = fmt.Errorf("%s: output was not completed", open)
	}
	return e.exitCode(err)
}

// advice returns the hint that tool has for err, or else the one that all tools share, or
// "".
func advice(tool Tool, err error) string {
	if a, ok := tool.(Adviser); ok {
		if hint := a.Advise(err); hint != "" {
			return hint
		}
	}
	return sharedAdvice(err)
}

// parse fills tool and e from the arguments and the environment. It returns done if a flag
// such as --help has been served and left nothing to do.
func (e *Env) parse(m *Manual, tool Tool, args []string) (done bool, err error) {
	var common commonFlags
	p, err := kong.New(tool, kong.Name(m.Name), kong.Description(m.about()),
		kong.NoDefaultHelp(), kong.Embed(&common), kong.Writers(e.Stdout, e.stderr), kong.Bind(m, e), kong.Help(m.printHelp),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 80}), kong.ValueFormatter(describe),
		kong.NamedMapper("size", kong.MapperFunc(decodeSize)), kong.KindMapper(reflect.String, kong.MapperFunc(decodeString)))
	if err != nil {
		panic(err) // the struct is wrong, not the input
	}
	m.check(p.Model)
	titleGroups(p.Model)
	var served *printed
	parsed, err := p.Parse(args)
	if errors.As(err, &served) {
		return true, cmp.Or(e.checkStdout(), served.err)
	}
	if err == nil {
		err = checkEmpty(parsed)
	}
	if err == nil && len(p.Model.Children) > 0 && parsed.Selected() == nil {
		err = fmt.Errorf("command is missing: want %s", listCommands(p.Model))
	}
	if err != nil {
		return false, &usageError{text: usageText(p.Model, err), hint: "see " + e.name + selected(parsed, err) + " --help"}
	}
	if cmd := parsed.Selected(); cmd != nil {
		e.Command = cmd.Name
	}
	e.Quiet = common.Quiet
	if e.Epoch, err = sourceDateEpoch(os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		return false, err
	}
	if err := e.showProgress(common.progressFlags); err != nil {
		return false, err
	}
	if err := e.openReport(common.ProgressFD); err != nil {
		return false, err
	}
	return false, e.startDepfile(parsed)
}

// checkEmpty returns an error if a flag or an argument was given the value "", as by a shell
// variable that is not set: the tool would behave as if it were absent.
func checkEmpty(parsed *kong.Context) error {
	for _, p := range parsed.Path {
		if p.Positional != nil && hasEmpty(p.Positional.Target) {
			return fmt.Errorf("argument is empty: %s", p.Positional.Summary())
		}
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

// hasEmpty reports whether v is "", or a list that holds "".
func hasEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return v.Len() == 0
	case reflect.Slice:
		for i := range v.Len() {
			if hasEmpty(v.Index(i)) {
				return true
			}
		}
	}
	return false
}

// selected returns the command that was given, after a space, or "".
func selected(parsed *kong.Context, err error) string {
	if p := (*kong.ParseError)(nil); errors.As(err, &p) {
		parsed = p.Context
	}
	if parsed == nil || parsed.Selected() == nil {
		return ""
	}
	return " " + parsed.Selected().Name
}
