// Demoimage writes a small OCI image layout of three layers, for "make demo" and the shell
// tests. One version of Go writes the same bytes each time.
//
//	go run ./lib/reftest/demoimage DIR    # then: oci-fetch oci:DIR:demo
//
// The layers have a static program (/init), a file that is replaced, one that is whited
// out, a hard link to a file of the layer below, a capability, a symbolic link, a device
// and a name beyond ASCII. The second layer is not compressed.
package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demoimage DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "demoimage: %v\n", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	program, err := buildInit()
	if err != nil {
		return err
	}
	l := layout{dir: dir}
	for i, files := range layers(program) {
		raw, err := layerTar(files)
		if err != nil {
			return err
		}
		if err := l.addLayer(raw, i != 1); err != nil {
			return err
		}
	}
	return l.finish("demo")
}

// buildInit compiles the package init beside this one, from the working directory
// of the repository.
func buildInit() ([]byte, error) {
	dir, err := os.MkdirTemp("", "demoimage")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "init")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, "ocipipe/lib/reftest/demoimage/init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH, "GOFLAGS=")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build init: %w\n%s", err, msg)
	}
	return os.ReadFile(out)
}

// file is one entry of a layer.
type file struct {
	name string
	mode int64
	typ  byte
	data string // content, or target of a link
	caps string // security.capability
}

// capNetRaw is cap_net_raw=ep as the kernel stores it, version 2.
const capNetRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func layers(program []byte) [][]file {
	const dir, reg, sym, hard, char = tar.TypeDir, tar.TypeReg, tar.TypeSymlink, tar.TypeLink, tar.TypeChar
	return [][]file{
		{
			{name: "./", mode: 0o755, typ: dir},
			{name: "bin", mode: 0o777, typ: sym, data: "usr/bin"},
			{name: "dev/", mode: 0o755, typ: dir},
			{name: "dev/null", mode: 0o666, typ: char},
			{name: "etc/", mode: 0o755, typ: dir},
			{name: "etc/hostname", mode: 0o644, typ: reg, data: "demo\n"},
			{name: "etc/motd", mode: 0o644, typ: reg, data: "the first layer wrote this\n"},
			{name: "etc/old.conf", mode: 0o600, typ: reg, data: "the third layer removes this\n"},
			{name: "init", mode: 0o755, typ: reg, data: string(program)},
			{name: "proc/", mode: 0o555, typ: dir},
			{name: "tmp/", mode: 0o1777, typ: dir},
			{name: "usr/", mode: 0o755, typ: dir},
			{name: "usr/bin/", mode: 0o755, typ: dir},
			{name: "usr/bin/ping", mode: 0o755, typ: reg, data: "#!/init\n", caps: capNetRaw},
		}, {
			{name: "etc/", mode: 0o755, typ: dir},
			{name: "etc/motd", mode: 0o644, typ: reg, data: "the second layer replaced this\n"},
			{name: "usr/", mode: 0o755, typ: dir},
			{name: "usr/bin/", mode: 0o755, typ: dir},
			{name: "usr/bin/ping6", typ: hard, data: "usr/bin/ping"},
		}, {
			{name: "etc/", mode: 0o755, typ: dir},
			{name: "etc/.wh.old.conf", typ: reg},
			{name: "srv/", mode: 0o2775, typ: dir},
			{name: "srv/na\u00efve name", mode: 0o640, typ: reg, data: "bytes, not words\n"},
		},
	}
}

func layerTar(files []file) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, f := range files {
		h := &tar.Header{
			Name: f.name, Mode: f.mode, Typeflag: f.typ, Format: tar.FormatPAX,
			ModTime: time.Unix(1700000000+int64(i), 123456789),
		}
		switch f.typ {
		case tar.TypeReg:
			h.Size = int64(len(f.data))
		case tar.TypeChar:
			h.Devmajor, h.Devminor = 1, 3
		default:
			h.Linkname = f.data
		}
		if f.caps != "" {
			h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": f.caps}
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(f.data)); err != nil {
				return nil, err
			}
		}
	}
	err := w.Close()
	return b.Bytes(), err
}
