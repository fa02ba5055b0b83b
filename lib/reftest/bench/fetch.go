package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"ocipipe/lib/reftest/registry"
)

// The image that is fetched, about 300 MB, and the behaviour of the far registry: that of a
// registry on another continent that limits each connection.
const (
	fetchTag     = "v1"
	farLatency   = 20 * time.Millisecond
	farRate      = 40_000_000 // bytes a second, of a connection
	makeLayout   = "go run ./lib/reftest/registry/cmd -image r:" + fetchTag + "="
	listFetched  = `tar2tree {out} --no-data --digest | grep -v "^#"`
	coldInScript = `printf 'exec oci-fetch --cache {work}/cache.$$ -o "$2" "$1"' > {work}/cold; `
)

// fetchRows are about images from a registry.
func fetchRows() []row {
	fetch := func(name, work, shape string, serve func(work string) (string, func(), error), missing func() string) row {
		return row{
			name: name, work: work, list: listFetched, missing: missing, serve: serve,
			prepare: coldInScript + makeLayout + shape + " layout {work}/layout",
			contenders: []contender{
				{name: "ours", line: "oci-fetch --no-cache -o {out} {host}/r:v1"},
				{name: "ours, one connection", line: "oci-fetch --no-cache --connections 1 -j 1 -o {out} {host}/r:v1"},
				{name: "ours, into the cache", line: "sh {work}/cold {host}/r:v1 {out}"},
				{name: "ours, from the cache", line: "oci-fetch --cache {work}/hit -o {out} {host}/r:v1"}, // the first run fills the cache
				{name: "skopeo copy", line: "skopeo copy --insecure-policy --quiet --src-tls-verify=false docker://{host}/r:v1 oci-archive:{out}:v1", missing: needs("skopeo")},
				{name: "crane pull", line: "crane pull {host}/r:v1 {out}", missing: needs("crane")},
			},
		}
	}
	return []row{
		fetch("fetch", "image of three layers, 300 MB, from docker-registry on this machine, to an archive", "3x100000000", dockerRegistry, dockerRegistryMissing),
		fetch("fetch-far", fmt.Sprintf("the same from a registry with %v of latency and %d MB/s for a connection", farLatency, farRate/1_000_000), "3x100000000", farRegistry, nil),
		fetch("fetch-one", "one layer of 300 MB from there", "1x300000000", farRegistry, nil),
	}
}

// farRegistry serves work/layout from afar.
func farRegistry(work string) (host string, stop func(), err error) {
	s, err := registry.Start(registry.Config{})
	if err != nil {
		return "", nil, err
	}
	s.Behave(registry.Behaviour{Latency: registry.Duration(farLatency), Rate: farRate})
	return s.Host, func() { s.Close() }, s.AddLayout("r", filepath.Join(work, "layout"))
}

func dockerRegistryMissing() string {
	for _, tool := range []string{"docker-registry", "skopeo"} {
		if why := needs(tool)(); why != "" {
			return tool + ": " + why
		}
	}
	return ""
}

var listening = regexp.MustCompile(`listening on ([0-9.:]+)`)

// dockerRegistry starts docker-registry and pushes the image in work/layout to it.
func dockerRegistry(work string) (host string, stop func(), err error) {
	config, log := filepath.Join(work, "config.yml"), filepath.Join(work, "log")
	text := fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: '127.0.0.1:0'}\n", filepath.Join(work, "data"))
	if err := os.WriteFile(config, []byte(text), 0o666); err != nil {
		return "", nil, err
	}
	out, err := os.Create(log)
	if err != nil {
		return "", nil, err
	}
	defer out.Close()
	cmd := exec.Command("docker-registry", "serve", config)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	for range 200 {
		text, _ := os.ReadFile(log)
		if m := listening.FindSubmatch(text); m != nil {
			host = string(m[1])
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	push := exec.Command("skopeo", "copy", "--insecure-policy", "--quiet", "--preserve-digests", "--dest-tls-verify=false",
		"oci:"+filepath.Join(work, "layout"), "docker://"+host+"/r:"+fetchTag)
	if msg, err := push.CombinedOutput(); err != nil {
		return "", stop, fmt.Errorf("push: %w: %s", err, msg)
	}
	return host, stop, nil
}
