package ocifetch

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocipipe/lib/cli"
	"ocipipe/lib/reftest"
)

// result is what a run of the tool gave.
type result struct {
	code           int
	stdout, stderr string
}

// fetch runs the tool with a pipe of input on standard input and a file for
// standard output.
func fetch(t *testing.T, input []byte, args ...string) result {
	t.Helper()
	in, w, err := os.Pipe()
	must(t, err)
	defer in.Close()
	go func() {
		w.Write(input)
		w.Close()
	}()
	out, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	must(t, err)
	defer out.Close()
	var stderr bytes.Buffer
	code := cli.Run(manual, &tool{}, args, cli.Streams{Stdin: in, Stdout: out, Stderr: &stderr})
	data, err := os.ReadFile(out.Name())
	must(t, err)
	return result{code, string(data), stderr.String()}
}

// good is fetch where it must succeed without a word.
func good(t *testing.T, input []byte, args ...string) string {
	t.Helper()
	r := fetch(t, input, args...)
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("oci-fetch %q: exit %d\n%s", args, r.code, r.stderr)
	}
	return r.stdout
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// layout makes an image of two layers with umoci, tag v1.
func layout(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	file := filepath.Join(t.TempDir(), "file")
	reftest.Run(t, "umoci", "init", "--layout", dir)
	reftest.Run(t, "umoci", "new", "--image", dir+":v1")
	for i, content := range []string{"one", strings.Repeat("two", 100000)} {
		must(t, os.WriteFile(file, []byte(content), 0o644))
		reftest.Run(t, "umoci", "insert", "--rootless", "--image", dir+":v1", file, fmt.Sprintf("/file%d", i))
	}
	reftest.Run(t, "umoci", "config", "--image", dir+":v1", "--config.cmd", "/init")
	return dir
}

// skopeo runs skopeo.
func skopeo(t *testing.T, args ...string) string {
	t.Helper()
	return reftest.Run(t, "skopeo", append([]string{"--insecure-policy"}, args...)...)
}

// diffIDs returns the list in a configuration.
func diffIDs(t *testing.T, config string) string {
	t.Helper()
	_, rest, ok := strings.Cut(config, `"diff_ids":[`)
	list, _, _ := strings.Cut(rest, "]")
	if !ok || list == "" {
		t.Fatalf("no diff_ids in %s", config)
	}
	return list
}

// TestSkopeoAndUmociWrite reads what they produce.
func TestSkopeoAndUmociWrite(t *testing.T) {
	dir := layout(t)
	src := "oci:" + dir + ":v1"
	config, digests := good(t, nil, "--config", src), good(t, nil, "--list", "--digests", src)
	if strings.Count(digests, "sha256:") != 2 {
		t.Fatalf("digests: %s", digests)
	}
	tmp := t.TempDir()
	oci, docker, zstd := tmp+"/oci.tar", tmp+"/docker.tar", tmp+"/zstd"
	skopeo(t, "copy", src, "oci-archive:"+oci+":v1")
	skopeo(t, "copy", src, "docker-archive:"+docker+":example.org/x/y:v1")
	skopeo(t, "copy", "--dest-compress-format", "zstd", "--dest-compress", src, "oci:"+zstd+":v1")
	for _, ref := range []string{"oci-archive:" + oci, "oci-archive:" + oci + ":v1"} {
		if good(t, nil, "--config", ref) != config || good(t, nil, "--list", "--digests", ref) != digests {
			t.Errorf("%s: another image", ref)
		}
	}
	for _, ref := range []string{"docker-archive:" + docker, "docker-archive:" + docker + ":example.org/x/y:v1", "oci:" + zstd} {
		if got := diffIDs(t, good(t, nil, "--config", ref)); got != diffIDs(t, config) {
			t.Errorf("%s: diff-ids %s", ref, got)
		}
		archive := good(t, nil, ref) // verifies every layer
		if got := good(t, []byte(archive), "--config", "oci-archive:-"); got != good(t, nil, "--config", ref) {
			t.Errorf("%s: %s", ref, got)
		}
	}
	for _, file := range []string{oci, docker} {
		data, err := os.ReadFile(file)
		must(t, err)
		if good(t, nil, "oci-archive:"+file) != good(t, data, "oci-archive:-") {
			t.Errorf("%s: another archive from a pipe", file)
		}
		if r := fetch(t, data[:len(data)-3000], "docker-archive:-"); r.code != 1 || !strings.Contains(r.stderr, "cut short") {
			t.Errorf("%s cut: exit %d %s", file, r.code, r.stderr)
		}
	}
}

// TestSkopeoAndUmociRead lets them read what we produce.
func TestSkopeoAndUmociRead(t *testing.T) {
	src := "oci:" + layout(t) + ":v1"
	tmp := t.TempDir()
	ours := tmp + "/ours.tar"
	good(t, nil, "-o", ours, src)

	digest := good(t, nil, "--list", src)
	digest = strings.Fields(digest)[1]
	if out := skopeo(t, "inspect", "oci-archive:"+ours); !strings.Contains(out, `"Digest": "`+digest+`"`) {
		t.Errorf("skopeo inspect says %s, want %s", out, digest)
	}
	skopeo(t, "copy", "oci-archive:"+ours, "dir:"+tmp+"/dir")
	skopeo(t, "copy", "oci-archive:"+ours, "docker-archive:"+tmp+"/d.tar:x:y")
	skopeo(t, "copy", "oci-archive:"+ours+":v1", "oci:"+tmp+"/copy:v1")
	unpacked(t, tmp+"/copy:v1")

	must(t, os.Mkdir(tmp+"/x", 0o777))
	reftest.Run(t, "tar", "-xf", ours, "-C", tmp+"/x")
	unpacked(t, tmp+"/x:v1")

	// and an image without a manifest of its own
	good(t, nil, "-o", tmp+"/canonical.tar", "docker-archive:"+tmp+"/d.tar")
	skopeo(t, "inspect", "oci-archive:"+tmp+"/canonical.tar")
	skopeo(t, "copy", "oci-archive:"+tmp+"/canonical.tar", "oci:"+tmp+"/canonical:v1")
	unpacked(t, tmp+"/canonical:v1")
}

// unpacked sees that umoci unpacks image to the files that layout put in.
func unpacked(t *testing.T, image string) {
	t.Helper()
	bundle := t.TempDir() + "/b"
	reftest.Run(t, "umoci", "unpack", "--rootless", "--image", image, bundle)
	for name, size := range map[string]int{"file0": 3, "file1": 300000} {
		data, err := os.ReadFile(filepath.Join(bundle, "rootfs", name))
		if err != nil || len(data) != size {
			t.Errorf("%s: %s: %d bytes, %v", image, name, len(data), err)
		}
	}
}

// dockerRegistry runs Debian's docker-registry until stop is called, on a free port.
func dockerRegistry(t *testing.T, htpasswd string) (host string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	host = l.Addr().String()
	must(t, l.Close())
	dir := t.TempDir()
	conf := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %s}\n", dir, host)
	if htpasswd != "" {
		must(t, os.WriteFile(dir+"/htpasswd", []byte(htpasswd), 0o666))
		conf += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s/htpasswd}}\n", dir)
	}
	must(t, os.WriteFile(dir+"/config.yml", []byte(conf), 0o666))
	cmd := reftest.Command(t, "docker-registry", "serve", dir+"/config.yml")
	must(t, cmd.Start())
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(stop)
	for range 200 {
		if c, err := net.Dial("tcp", host); err == nil {
			c.Close()
			return host, stop
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("docker-registry does not listen")
	return "", nil
}

// isolate gives the tool a cache and credentials of its own; the latter lie in
// config.json in the directory conf.
func isolate(t *testing.T) (conf string) {
	t.Helper()
	conf = t.TempDir()
	t.Setenv("DOCKER_CONFIG", conf)
	t.Setenv("REGISTRY_AUTH_FILE", "") // so that it is restored
	os.Unsetenv("REGISTRY_AUTH_FILE")  // docker-registry takes it for a setting of its own
	t.Setenv("OCIPIPE_CACHE", filepath.Join(t.TempDir(), "cache"))
	return conf
}

func TestDockerRegistry(t *testing.T) {
	isolate(t)
	src := "oci:" + layout(t) + ":v1"
	want := good(t, nil, src)
	host, stop := dockerRegistry(t, "")
	skopeo(t, "copy", "--dest-tls-verify=false", src, "docker://"+host+"/a/b:v1")
	skopeo(t, "copy", "--dest-tls-verify=false", "--format", "v2s2", src, "docker://"+host+"/a/b:schema2")
	if good(t, nil, host+"/a/b:v1") != want {
		t.Error("the registry's image differs from the layout's")
	}
	digest := strings.Fields(good(t, nil, "--list", src))[1]
	if good(t, nil, "--manifest", host+"/a/b@"+digest) != good(t, nil, "--manifest", src) {
		t.Error("the manifest differs")
	}
	list := good(t, nil, "--list", "--digests", host+"/a/b:v1")
	for i, d := range strings.Fields(list) {
		if good(t, nil, "--layer", d, host+"/a/b:v1") != good(t, nil, "--layer", fmt.Sprint(i), src) {
			t.Errorf("layer %d differs", i)
		}
	}
	schema2 := t.TempDir() + "/schema2.tar"
	good(t, nil, "-o", schema2, host+"/a/b:schema2")
	if out := skopeo(t, "inspect", "--raw", "oci-archive:"+schema2); !strings.Contains(out, "docker.distribution.manifest.v2") {
		t.Errorf("manifest is %s", out)
	}
	for _, ref := range []string{host + "/a/b:v2", host + "/no/such:v2"} {
		if r := fetch(t, nil, ref); r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "UNKNOWN") || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, %d bytes, %s", ref, r.code, len(r.stdout), r.stderr)
		}
	}
	stop()
	if good(t, nil, host+"/a/b:v1") != want || good(t, nil, "--pull", "never", host+"/a/b:v1") != want {
		t.Error("the image in the cache differs")
	}
	if r := fetch(t, nil, "--pull=always", "--retries=0", host+"/a/b:v1"); r.code != 75 || r.stdout != "" || !strings.Contains(r.stderr, "refused") {
		t.Errorf("killed registry: exit %d, %d bytes, %s", r.code, len(r.stdout), r.stderr)
	}
}

func TestDockerRegistryLogin(t *testing.T) {
	conf := isolate(t)
	src := "oci:" + layout(t) + ":v1"
	host, _ := dockerRegistry(t, "me:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n") // "secret"
	skopeo(t, "copy", "--dest-tls-verify=false", "--dest-creds", "me:secret", src, "docker://"+host+"/a:v1")
	if r := fetch(t, nil, host+"/a:v1"); r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "UNAUTHORIZED") {
		t.Errorf("anonymous: exit %d %s", r.code, r.stderr)
	}
	for password, code := range map[string]int{"secret": 0, "wrong": 1} {
		auth := fmt.Sprintf(`{"auths":{%q:{"username":"me","password":%q}}}`, host, password)
		must(t, os.WriteFile(conf+"/config.json", []byte(auth), 0o666))
		if r := fetch(t, nil, "--no-cache", host+"/a:v1"); r.code != code {
			t.Errorf("%s: exit %d %s", password, r.code, r.stderr)
		}
	}
}
