package hosts

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	fake "ocipipe/lib/reftest/registry"
)

// TestConfig: files in certs.d are for their host, and client certificates only for hosts
// that are known.
func TestConfig(t *testing.T) {
	a, err := fake.MakeCerts()
	must(t, err)
	b, err := fake.MakeCerts()
	must(t, err)
	dir := write(t, t.TempDir(), map[string]string{
		"flag/ca.pem": string(b.CA), "flag/c.pem": string(b.ClientCert), "flag/c.key": string(b.ClientKey),
		"user/a.example:5000/ca.crt": string(a.CA), "user/a.example:5000/c.cert": string(a.ClientCert), "user/a.example:5000/c.key": string(a.ClientKey),
		"user/a.example:5000/README": "x", "user/a.example:5000/sub/x.crt": "not looked at",
		"system/a.example:5000/ca.crt": "not looked at", "system/docker.io/ca.crt": string(a.CA), "system/cut/ca.crt": string(a.CA),
		"system/ca.crt": "not looked at", "system/file": "x",
	})
	must(t, os.Symlink("../user/a.example:5000", dir+"/system/link.example"))
	must(t, os.Symlink("nowhere", dir+"/system/dangling.example"))
	flags := Options{CACert: dir + "/flag/ca.pem", ClientCert: dir + "/flag/c.pem", ClientKey: dir + "/flag/c.key"}
	for _, c := range []struct {
		o            Options
		p            Peer
		own          bool
		client       int // 1 that of the directory, 2 that of the flag
		roots, skips bool
	}{
		{Options{}, Peer{Host: "a.example:5000", Known: true}, true, 1, true, false},
		{Options{}, Peer{Host: "a.example:5000"}, true, 0, true, false},
		{Options{}, Peer{Host: "link.example", Known: true, Named: true}, true, 1, true, false},
		{Options{}, Peer{Host: "a.example", Known: true}, false, 0, false, false},
		{Options{}, Peer{Host: "a.example:5001", Known: true}, false, 0, false, false},
		{Options{}, Peer{Host: "index.docker.io", Known: true}, true, 0, true, false},
		{Options{}, Peer{Host: "dangling.example", Known: true}, false, 0, false, false},
		{Options{}, Peer{Host: "file", Known: true}, false, 0, false, false},
		{Options{}, Peer{Host: "..", Known: true}, false, 0, false, false},
		{Options{}, Peer{Host: ".", Known: true}, false, 0, false, false},
		{Options{}, Peer{Host: "", Known: true}, false, 0, false, false},
		{Options{}, Peer{Host: "../user/a.example:5000", Known: true}, false, 0, false, false},
		{Options{}, Peer{Host: "a\x00", Known: true}, false, 0, false, false},
		{Options{}, Peer{Host: strings.Repeat("a", 1<<16), Known: true}, false, 0, false, false},
		{flags, Peer{Host: "a.example:5000", Known: true, Named: true}, true, 2, true, false},
		{flags, Peer{Host: "a.example:5000", Known: true}, true, 1, true, false},
		{flags, Peer{Host: "x.example", Known: true, Named: true}, true, 2, true, false},
		{flags, Peer{Host: "x.example", Known: true}, false, 0, true, false},
		{flags, Peer{Host: "x.example", Named: true}, false, 0, true, false},
		{Options{Verify: VerifyNone}, Peer{Host: "x.example"}, false, 0, false, true},
		{Options{Verify: VerifyNone}, Peer{Host: "a.example:5000", Known: true}, true, 1, true, true},
		{Options{}, Peer{Host: "a.example:5000", Known: true, Unverified: true}, true, 1, true, true},
	} {
		c.o.Dirs = []string{dir + "/none", dir + "/user", dir + "/system"}
		certs, err := LoadCerts(c.o)
		must(t, err)
		conf, own, err := certs.Config(c.p)
		must(t, err)
		client := 0
		if len(conf.Certificates) > 0 {
			client = 1
			if c.o.ClientCert != "" && &conf.Certificates[0] == &certs.client[0] {
				client = 2
			}
		}
		if own != c.own || client != c.client || len(conf.Certificates) > 1 || (conf.RootCAs != nil) != c.roots || conf.InsecureSkipVerify != c.skips {
			t.Errorf("%+v, %.100s: own %v, client %d, authorities %v, skips %v", c.o, fmt.Sprintf("%+v", c.p), own, client, conf.RootCAs != nil, conf.InsecureSkipVerify)
		}
		if conf.RootCAs != nil && conf.RootCAs == certs.roots && c.own && c.client != 2 {
			t.Errorf("%+v: the authority of one host is trusted for all", c.p)
		}
	}
}

// TestCertsWrong: errors name the file.
func TestCertsWrong(t *testing.T) {
	c, err := fake.MakeCerts()
	must(t, err)
	cert, key, ca := string(c.ClientCert), string(c.ClientKey), string(c.CA)
	for _, x := range []struct {
		file, says string
		files      map[string]string
	}{
		{"c.cert", "c.key", map[string]string{"c.cert": cert, "d.key": key}},
		{"c.key", "c.cert, is missing", map[string]string{"c.key": key}},
		{"c.cert", "private key does not match", map[string]string{"c.cert": cert, "c.key": string(c.ServerKey)}},
		{"ca.crt", "no certificate", map[string]string{"ca.crt": key}},
		{"ca.crt", "longer than", map[string]string{"ca.crt": ca + strings.Repeat("\n", maxCert)}},
		{"ca.crt", "not a regular file", map[string]string{"ca.crt/x": ca}},
		{"pipe.crt", "not a regular file", nil},
		{"dangling.crt", "no such file", nil},
	} {
		dir := write(t, t.TempDir(), map[string]string{"h/README": ""})
		write(t, dir+"/h", x.files)
		switch x.file {
		case "pipe.crt":
			must(t, syscall.Mkfifo(dir+"/h/pipe.crt", 0o600))
		case "dangling.crt":
			must(t, os.Symlink("nowhere", dir+"/h/dangling.crt"))
		}
		certs, err := LoadCerts(Options{Dirs: []string{dir}})
		must(t, err)
		if _, _, err := certs.Config(Peer{Host: "h", Known: true}); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "h", x.file)) || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v, want %q", x.file, err, x.says)
		}
	}
	dir := write(t, t.TempDir(), map[string]string{"ca.pem": ca, "c.pem": cert, "x": "x"})
	for name, o := range map[string]Options{
		"no file":     {CACert: "/no/such"},
		"no PEM":      {CACert: dir + "/x"},
		"no key":      {ClientCert: dir + "/c.pem"},
		"key for CA":  {ClientCert: dir + "/ca.pem", ClientKey: dir + "/ca.pem"},
		"no key file": {ClientCert: dir + "/c.pem", ClientKey: "/no/such"},
	} {
		if _, err := LoadCerts(o); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
}

// TestUnreadable: a directory that this user may not read counts as missing, but an
// unreadable file for the host is an error.
func TestUnreadable(t *testing.T) {
	c, err := fake.MakeCerts()
	must(t, err)
	dir := write(t, t.TempDir(), map[string]string{"locked/h/ca.crt": string(c.CA), "closed/h/ca.crt": string(c.CA), "file/h/ca.crt": string(c.CA)})
	for path, mode := range map[string]os.FileMode{".": 0o755, "locked": 0, "closed/h": 0o111, "file/h/ca.crt": 0} {
		must(t, os.Chmod(filepath.Join(dir, path), mode))
	}
	t.Chdir(dir) // the user nobody cannot reach its full name if $TMPDIR is private
	t.Cleanup(func() { os.Chmod(dir+"/locked", 0o755); os.Chmod(dir+"/closed/h", 0o755) })
	done := make(chan struct{})
	go func() { // its thread, which is nobody's, ends with it
		defer close(done)
		runtime.LockOSThread()
		if os.Getuid() == 0 {
			syscall.Setfsuid(65534)
		}
		for name, says := range map[string]string{"locked": "", "closed": "closed/h: permission denied", "file": "file/h/ca.crt: permission denied"} {
			certs, _ := LoadCerts(Options{Dirs: []string{name}})
			conf, own, err := certs.Config(Peer{Host: "h"})
			if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) || err == nil && (own || conf.RootCAs != nil) {
				t.Errorf("%s: %v, want %q", name, err, says)
			}
		}
	}()
	<-done
}
