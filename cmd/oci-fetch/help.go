package main

import "ocipipe/lib/cli"

// manual has the texts of --help and the man page.
var manual = cli.Manual{
	Name:    "oci-fetch",
	Summary: "Write an OCI image, or one part of it, as an OCI archive.",
	Network: true,
	Description: `The image comes from a registry, or from a file or directory. Every byte that is written has been verified against its digest.

What a registry sends is kept in a cache, which is an OCI layout that other tools can read. The registry is not asked again for a tag in the cache, unless --pull=always says so. A download that broke off is resumed, in the same run or in the next.

Names without a host are those of Docker Hub, with a warning where registries.conf says otherwise. Credentials are those of podman and docker.

What the image runs, --vm-config DIR writes to DIR, and this list of operations puts it into a disk, by erofs-patch LIST:

    - copy_file: {src: DIR/config.json, dst: /etc/oci/config.json}
    - copy_file: {src: DIR/env, dst: /etc/oci/env}`,
	Arguments: `The image is one of:

    NAME[:TAG][@DIGEST]         in a registry
    oci:DIR[:TAG|@DIGEST]       an OCI layout, a directory
    oci-archive:FILE[:TAG]      an OCI archive
    docker-archive:FILE[:TAG]   an archive of docker save

FILE may be -, which is standard input.`,
	Flags: map[string]string{
		"layer":           "Layers have numbers from 0, at the bottom. A digest is that of the compressed layer, or its diff-id.",
		"list":            "They are listed from bottom to top. Digests are in full unless the terminal is too narrow.",
		"vm-config":       "Two files, for what runs the image without a container engine. config.json has argv, which is entrypoint and command, user (none is root), working_directory, stop_signal, env, exposed_ports, volumes and labels. env has the environment in lines that a shell reads: set -a; . DIR/env. Both are there before the image goes out, whatever becomes of that.",
		"max-metadata":    "It is for each index, manifest and configuration.",
		"max-layer":       "It is for compressed layers in an archive of docker save.",
		"cache":           "Without this flag it is $OCIPIPE_CACHE, or ocipipe in $XDG_CACHE_HOME, by default ~/.cache/ocipipe.",
		"verify-cache":    "A corrupt blob is fetched again.",
		"pull":            "if-missing asks for a tag that is not in the cache, always asks and still takes blobs from the cache, and never does without a network.",
		"connections":     "They are for blobs. Large ones are fetched in several ranges.",
		"retries":         "Retries count only in a row, without progress in between; each waits longer.",
		"timeout":         "TIME is a number with a unit, such as 90s or 2m.",
		"authfile":        "Without this flag it is $REGISTRY_AUTH_FILE, or else the files of docker, then podman.",
		"username":        "It needs --password-stdin.",
		"ca-cert":         "They are trusted besides those of the system.",
		"client-cert":     "It needs --client-key.",
		"certs-dir":       "DIR has a directory HOST or HOST:PORT for each registry, with certificates of authorities in files *.crt, and client certificates in files *.cert with keys in *.key. It is used instead of the directories certs.d of podman and docker.",
		"insecure":        "For this machine plain HTTP is always allowed.",
		"tls-verify":      "With --tls-verify=false no certificate is verified: anybody on the way can read passwords and choose what a tag means. With --tls-verify all are, whatever registries.conf says.",
		"mirror":          "It is [http://]HOST[:PORT][/PREFIX]. Several are asked in order, before those of registries.conf.",
		"registries-conf": "It has mirrors, locations, and insecure and blocked registries. Without this flag it is $CONTAINERS_REGISTRIES_CONF, or podman's registries.conf and registries.conf.d. /dev/null has none.",
		"allow-foreign":   "The URLs of such layers are in the manifest.",
	},
	Env: []cli.Term{
		{Name: "OCIPIPE_CACHE", Text: "Directory of the cache; --cache comes before it."},
		{Name: "XDG_CACHE_HOME", Text: "Directory in which the cache is by default."},
		{Name: "REGISTRY_AUTH_FILE", Text: "File with credentials; --authfile comes before it."},
		{Name: "DOCKER_CONFIG", Text: "Directory of the configuration of docker, by default ~/.docker."},
		{Name: "XDG_RUNTIME_DIR , XDG_CONFIG_HOME", Text: "Directories of the configuration of podman."},
		{Name: "CONTAINERS_REGISTRIES_CONF", Text: "The registries.conf to read; --registries-conf comes before it."},
		{Name: "HTTP_PROXY , HTTPS_PROXY , NO_PROXY", Text: "Proxies for registries, and hosts that are asked without one."},
	},
	Files: []cli.Term{
		{Name: "~/.cache/ocipipe", Text: "The cache, an OCI layout."},
		{Name: "~/.docker/config.json", Text: "Credentials of docker."},
		{Name: "${XDG_RUNTIME_DIR}/containers/auth.json", Text: "Credentials of podman."},
		{Name: "/etc/containers/registries.conf", Text: "Mirrors and other settings of registries; ~/.config/containers/registries.conf comes before it."},
		{Name: "/etc/containers/certs.d , /etc/docker/certs.d", Text: "Certificates of registries, also in the directories of the same name below ~/.config."},
	},
	Examples: []cli.Example{
		{Text: "An image from a registry as a root file system", Command: "oci-fetch alpine | tar2tree | tree2erofs -o rootfs.erofs"},
		{Text: "Its layers, and one of them", Command: "oci-fetch --list alpine\noci-fetch --layer=0 -o layer.tar.gz alpine"},
	},
	SeeAlso: []string{"tar2tree", "erofs-patch", "skopeo"},
}
