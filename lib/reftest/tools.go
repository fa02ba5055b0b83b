// Package reftest is for tests only. It finds and runs the reference tools, mounts images,
// and compares file trees.
package reftest

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// Skip skips t, with what is missing as the reason. If $CI is "true" it fails t instead: a
// check that may silently not run is not a check.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true, and this cannot run: %s", why)
	}
	t.Skip(why)
}

//go:embed tools.txt
var toolsFile string

// Tools returns the packages of the tools in tools.txt, by the name of the tool.
var Tools = sync.OnceValue(func() map[string]string {
	tools := map[string]string{}
	for line := range strings.Lines(toolsFile) {
		if f := strings.Fields(line); len(f) > 1 && f[0] != "#" {
			tools[f[0]] = f[1]
		}
	}
	return tools
})

// Need returns the path of the tool and logs its version. If the tool is not installed it
// skips t. It fails t if the tool is not in tools.txt, from which machines are set up.
func Need(t testing.TB, tool string) string {
	t.Helper()
	if Tools()[tool] == "" {
		t.Fatalf("%s is not in lib/reftest/tools.txt, so a new machine has no %s", tool, tool)
	}
	path, err := find(tool)
	if err != nil {
		Skip(t, "%s is not installed", tool)
	}
	t.Logf("%s: %s", tool, version(tool))
	return path
}

// NeedRoot skips t unless it runs as root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "not root")
	}
}

// Run runs the tool (see Need) and returns its standard output. It fails t unless the tool
// exits with 0.
func Run(t testing.TB, tool string, args ...string) string {
	t.Helper()
	out, err := Try(t, tool, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Try is Run, but returns a failure of the tool, with its output, as an error.
func Try(t testing.TB, tool string, args ...string) (stdout string, err error) {
	t.Helper()
	return TryInput(t, nil, tool, args...)
}

// TryInput is Try with stdin as standard input.
func TryInput(t testing.TB, stdin []byte, tool string, args ...string) (stdout string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := Command(t, tool, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", tool, strings.Join(args, " "), err, out.Bytes(), errs.Bytes())
	}
	return out.String(), nil
}

// Named reports whether the environment names a build of the tool that is to be used in place
// of the installed one: MKFS_EROFS that of mkfs.erofs.
func Named(tool string) bool { return named(tool) != "" }

func named(tool string) string {
	return os.Getenv(strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(tool)))
}

// find returns the path of the tool. It also looks in the directories of root's tools, which
// users rarely have in PATH.
func find(tool string) (string, error) {
	if strings.HasSuffix(tool, ".erofs") && Named(tool) {
		return exec.LookPath(named(tool))
	}
	path, err := exec.LookPath(tool)
	for _, dir := range []string{"/usr/local/sbin/", "/usr/sbin/", "/sbin/"} {
		if err != nil {
			path, err = exec.LookPath(dir + tool)
		}
	}
	return path, err
}

// versionCommands are for tools that do not know --version.
var versionCommands = map[string]string{
	"debugfs": "debugfs -V", "e2fsck": "e2fsck -V", "mke2fs": "mke2fs -V", "mkfs.ext4": "mke2fs -V",
	"dumpe2fs": "dumpe2fs -V", "resize2fs": "dumpe2fs -V", // resize2fs prints its version only while it works
	"mkfs.erofs": "fsck.erofs -V", "fsck.erofs": "fsck.erofs -V", "dump.erofs": "dump.erofs -V",
	"mtree": "dpkg-query -W mtree-netbsd", // NetBSD's mtree has no version
}

var versions sync.Map

// version returns the first line that the tool prints about its version.
func version(tool string) string {
	if v, ok := versions.Load(tool); ok {
		return v.(string)
	}
	args := []string{tool, "--version"}
	if c, ok := versionCommands[tool]; ok {
		args = strings.Fields(c)
	}
	v := "version unknown"
	if path, err := find(args[0]); err == nil {
		out, _ := exec.Command(path, args[1:]...).CombinedOutput()
		if line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n"); line != "" {
			v = line
		}
	}
	versions.Store(tool, v)
	return v
}
