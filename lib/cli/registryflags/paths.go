package registryflags

import (
	"fmt"
	"os"
	"path/filepath"

	"ocipipe/lib/oci/hosts"
)

// authFiles returns the files that may have credentials. The first that has them for a host
// counts.
func (a *Access) authFiles() ([]string, error) {
	for _, named := range []struct{ by, file string }{{"--authfile", a.Authfile}, {"REGISTRY_AUTH_FILE", os.Getenv("REGISTRY_AUTH_FILE")}} {
		if named.file == "" {
			continue
		}
		if _, err := os.Stat(named.file); err != nil {
			return nil, fmt.Errorf("%s: %w", named.by, err)
		}
		return []string{named.file}, nil
	}
	home, _ := os.UserHomeDir()
	var files []string
	add := func(name string, dirs ...string) {
		for _, d := range dirs {
			if d != "" {
				files = append(files, filepath.Join(d, name))
				return
			}
		}
	}
	add("config.json", os.Getenv("DOCKER_CONFIG"), below(home, ".docker"))
	add("containers/auth.json", os.Getenv("XDG_RUNTIME_DIR"))
	add("containers/auth.json", configHome())
	return files, nil
}

// below returns the path of name in dir, or "" if dir is "".
func below(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// configs returns the files and directories of registries.conf; later ones override earlier
// ones. A user's file replaces the system's file and directory. A file that a flag or the
// environment names replaces all.
func (a *Access) configs() ([]string, error) {
	for _, f := range []string{a.RegistriesConf, os.Getenv("CONTAINERS_REGISTRIES_CONF")} {
		if f != "" {
			_, err := os.Stat(f)
			return []string{f}, err
		}
	}
	const name, system = "registries.conf", "/etc/containers"
	own := below(configHome(), "containers")
	if own == "" {
		return []string{filepath.Join(system, name), filepath.Join(system, name+".d")}, nil
	}
	file, dir := filepath.Join(own, name), filepath.Join(own, name+".d")
	if _, err := os.Stat(file); err == nil {
		return []string{file, dir}, nil
	}
	return []string{filepath.Join(system, name), filepath.Join(system, name+".d"), dir}, nil
}

// certs returns the certificates that flags name, and the directories where podman and
// docker look for others.
func (a *Access) certs() (hosts.Options, error) {
	o := hosts.Options{CACert: a.CACert, ClientCert: a.ClientCert, ClientKey: a.ClientKey}
	if a.TLSVerify != nil {
		o.Verify = map[bool]hosts.Verify{true: hosts.VerifyAll, false: hosts.VerifyNone}[*a.TLSVerify]
	}
	if a.CertsDir != "" {
		_, err := os.Stat(a.CertsDir)
		o.Dirs = []string{a.CertsDir}
		return o, err
	}
	for _, of := range []string{"containers", "docker"} {
		if own := below(configHome(), of); own != "" {
			o.Dirs = append(o.Dirs, filepath.Join(own, "certs.d"))
		}
	}
	o.Dirs = append(o.Dirs, "/etc/containers/certs.d", "/etc/docker/certs.d")
	return o, nil
}

// configHome returns the directory of the user's configuration, or "" if there is no home
// directory.
func configHome() string {
	if dir := os.Getenv("XDG_CONFIG_HOME"); dir != "" {
		return dir
	}
	home, _ := os.UserHomeDir()
	return below(home, ".config")
}
