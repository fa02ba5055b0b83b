package cli

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/alecthomas/kong"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/cli/makerule"
)

// Depfile is the flags --depfile and --depfile-target, to be embedded by tools that read
// files and write one: all that do so by Env.Open, Env.OpenFile and Env.Reads is recorded.
type Depfile struct {
	DepFile   string `name:"depfile" placeholder:"FILE" group:"Output" help:"Write a rule of make: what was read."`
	DepTarget string `name:"depfile-target" placeholder:"NAME" group:"Output" help:"Its target (default: the FILE of -o)."`
}

// depfile is the output of --depfile.
type depfile struct {
	name, target string
	file         *atomicfile.File
	waits        bool // for a Stream or an Image, which was opened

	mu    sync.Mutex
	names map[string]bool // of files that were read, as they were named
	over  bool
}

// startDepfile opens the output of --depfile, if that was given.
func (e *Env) startDepfile(parsed *kong.Context) error {
	flags := map[string]string{}
	for _, f := range parsed.Flags() {
		switch f.Name {
		case "depfile", "depfile-target", "output":
			flags[f.Name] = f.Target.String()
		}
	}
	name, output := flags["depfile"], flags["output"]
	target := cmp.Or(flags["depfile-target"], output)
	switch {
	case name == "" && flags["depfile-target"] != "":
		return Usage("--depfile-target: is a name in the --depfile, and there is none")
	case name == "":
		return nil
	case name == "-":
		return Usage("--depfile: wants the name of a file, not -")
	case isStandard(target):
		return Hint(Usage("--depfile: says what the file of -o depends on, and there is no -o"),
			"--depfile-target NAME names the file that is made of standard output")
	}
	if err := makerule.CheckTarget(filepath.ToSlash(target)); err != nil {
		return Usage("--depfile: %v", err)
	}
	info, err := os.Stat(name)
	if err := e.addTarget("depfile", name, info, err); err != nil {
		return err
	}
	file, err := atomicfile.Create(name)
	if err != nil {
		return err
	}
	e.depfile = &depfile{name: name, target: target, file: file, names: map[string]bool{}}
	e.addOutput(e.depfile)
	return nil
}

// dependsOn notes that the file called name is read. A name that another process would not
// find, such as /dev/fd/3, is left out, and so is all that is no file or directory.
func (e *Env) dependsOn(name string, info fs.FileInfo) {
	if e.depfile == nil || isStandard(name) || !info.Mode().IsRegular() && !info.IsDir() {
		return
	}
	for _, own := range []string{"/dev/fd/", "/dev/stdin", "/proc/"} {
		if strings.HasPrefix(name, own) {
			return
		}
	}
	e.depfile.mu.Lock()
	defer e.depfile.mu.Unlock()
	e.depfile.names[filepath.ToSlash(name)] = true
}

// writeDepfile completes the output of --depfile, if there is one and it was not completed
// before. It comes just before the output itself is completed: if the process is killed in
// between, the old output is older than what it depends on, or is right. The reverse would
// leave a new output of which nobody knows what it depends on.
func (e *Env) writeDepfile() error {
	if e.depfile == nil || e.depfile.pending() == "" {
		return nil
	}
	return e.depfile.commit(e.noSync)
}

// endDepfile completes the output of --depfile for a tool that has written no Stream or Image.
// If it has opened one, but not completed it, there is nothing to say about that.
func (e *Env) endDepfile() error {
	if e.depfile != nil && e.depfile.waits {
		e.depfile.Abort()
	}
	return e.writeDepfile()
}

func (d *depfile) commit(noSync bool) error {
	d.mu.Lock()
	names := make([]string, 0, len(d.names))
	for name := range d.names {
		names = append(names, name)
	}
	d.mu.Unlock()
	text, err := makerule.Rules(filepath.ToSlash(d.target), names)
	if err != nil {
		return About("--depfile", err)
	}
	if _, err := d.file.Write(text); err != nil {
		return err
	}
	if noSync {
		d.file.NoSync()
	}
	if err := d.file.Commit(); err != nil {
		return err // d stays pending, so that end aborts it
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return errAborted
	}
	d.over = true
	return nil
}

// Abort leaves the file as it was. It does nothing after commit.
func (d *depfile) Abort() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.over {
		d.over = true
		d.file.Abort()
	}
}

func (d *depfile) pending() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return ""
	}
	return d.name
}

func (d *depfile) flush() {}
