package registryflags

import "ocipipe/lib/cli"

// About says more about the flags in Registry, for man pages.
var About = (cli.Manual{
	Flags: map[string]string{
		"connections":   "They are for blobs. Large ones are fetched in several ranges.",
		"mirror":        "It is [http://]HOST[:PORT][/PREFIX]. Several are asked in order, before those of registries.conf.",
		"allow-foreign": "The URLs of such layers are in the manifest.",
	},
}).With(AboutAccess)

// AboutAccess says more about the flags in Access, for man pages.
var AboutAccess = cli.Manual{
	Flags: map[string]string{
		"retries":         "Retries count only in a row, without progress in between; each waits longer.",
		"timeout":         "TIME is a number with a unit, such as 90s or 2m.",
		"authfile":        "Without this flag it is $REGISTRY_AUTH_FILE, or else the files of docker, then podman.",
		"username":        "It needs --password-stdin.",
		"ca-cert":         "They are trusted besides those of the system.",
		"client-cert":     "It needs --client-key.",
		"certs-dir":       "DIR has a directory HOST or HOST:PORT for each registry, with certificates of authorities in files *.crt, and client certificates in files *.cert with keys in *.key. It is used instead of the directories certs.d of podman and docker.",
		"insecure":        "For this machine plain HTTP is always allowed.",
		"tls-verify":      "With --tls-verify=false no certificate is verified: anybody on the way can read passwords and choose what a tag means. With --tls-verify all are, whatever registries.conf says.",
		"registries-conf": "It has mirrors, locations, and insecure and blocked registries. Without this flag it is $CONTAINERS_REGISTRIES_CONF, or podman's registries.conf and registries.conf.d. /dev/null has none.",
	},
	Env: []cli.Term{
		{Name: "REGISTRY_AUTH_FILE", Text: "File with credentials; --authfile comes before it."},
		{Name: "DOCKER_CONFIG", Text: "Directory of the configuration of docker, by default ~/.docker."},
		{Name: "XDG_RUNTIME_DIR , XDG_CONFIG_HOME", Text: "Directories of the configuration of podman."},
		{Name: "CONTAINERS_REGISTRIES_CONF", Text: "The registries.conf to read; --registries-conf comes before it."},
		{Name: "HTTP_PROXY , HTTPS_PROXY , NO_PROXY", Text: "Proxies for registries, and hosts that are asked without one."},
	},
	Files: []cli.Term{
		{Name: "~/.docker/config.json", Text: "Credentials of docker."},
		{Name: "${XDG_RUNTIME_DIR}/containers/auth.json", Text: "Credentials of podman."},
		{Name: "/etc/containers/registries.conf", Text: "Mirrors and other settings of registries; ~/.config/containers/registries.conf comes before it."},
		{Name: "/etc/containers/certs.d , /etc/docker/certs.d", Text: "Certificates of registries, also in the directories of the same name below ~/.config."},
	},
}
