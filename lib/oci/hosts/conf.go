package hosts

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/pelletier/go-toml/v2"
)

// maxConf is the greatest length of a file, in bytes. It has room for some thousand
// registries. The time to read a file that consists of keys alone grows with the square of
// its length, to some seconds.
const maxConf = 256 << 10

// conf is the part of a file that this package reads.
type conf struct {
	Registries []table           `toml:"registry"`
	Search     []string          `toml:"unqualified-search-registries"`
	Aliases    map[string]string `toml:"aliases"`
	Helpers    []string          `toml:"credential-helpers"`
	Version1   map[string]any    `toml:"registries"`
}

type table struct {
	Prefix     string   `toml:"prefix"`
	Location   string   `toml:"location"`
	Insecure   bool     `toml:"insecure"`
	Blocked    bool     `toml:"blocked"`
	DigestOnly bool     `toml:"mirror-by-digest-only"`
	Mirrors    []mirror `toml:"mirror"`
	file       string
}

type mirror struct {
	Location string `toml:"location"`
	Insecure bool   `toml:"insecure"`
	Pull     string `toml:"pull-from-mirror"`
}

// settings collects what the files say about one image.
type settings struct {
	name, short string
	table       *table  // the one that applies; nil if none does
	search      sourced // the first of the registries for short names
	alias       sourced
	unasked     string // which credentials are not looked up; "" if none
}

// sourced is a value and the file that it comes from.
type sourced struct{ value, file string }

// readAll reads a file, or the files in a directory in the order of their names.
func (s *settings) readAll(path string, warn func(string)) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return s.read(path, warn)
	}
	files, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.IsDir() || !strings.HasSuffix(f.Name(), ".conf") {
			continue
		}
		file := filepath.Join(path, f.Name())
		if err := checkRegular(file); err != nil {
			return err
		}
		if err := s.read(file, warn); err != nil {
			return err
		}
	}
	return nil
}

func (s *settings) read(file string, warn func(string)) error {
	data, err := ReadFile(file, maxConf)
	if err != nil {
		return err
	}
	var c conf
	if err := toml.Unmarshal(data, &c); err != nil {
		var where *toml.DecodeError
		if errors.As(err, &where) {
			line, _ := where.Position()
			return fmt.Errorf("%s: line %d: %s", file, line, strings.TrimPrefix(err.Error(), "toml: "))
		}
		return fmt.Errorf("%s: %w", file, err)
	}
	if len(c.Version1) > 0 {
		warn(file + ": the tables [registries] of version 1 are not read")
	}
	s.note(file, &c)
	for i := range c.Registries {
		if err := s.offer(file, &c.Registries[i]); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// note keeps the settings of c other than its tables.
func (s *settings) note(file string, c *conf) {
	if len(c.Search) > 0 {
		s.search = sourced{c.Search[0], file}
	}
	if to, ok := c.Aliases[s.short]; ok {
		s.alias = sourced{to, file}
	}
	for _, h := range c.Helpers {
		if h != "containers-auth.json" {
			s.unasked = fmt.Sprintf("credential-helpers in %s are not asked", file)
		}
	}
}

// offer takes t, a table of file, if t matches the image, and no worse than the table that
// was found before.
func (s *settings) offer(file string, t *table) error {
	if t.Prefix == "" {
		t.Prefix = t.Location
	}
	if t.Prefix = strings.TrimRight(t.Prefix, "/"); t.Prefix == "" {
		return errors.New("a registry has neither prefix nor location")
	}
	if match(s.name, t.Prefix) < 0 || s.table != nil && len(t.Prefix) < len(s.table.Prefix) {
		return nil
	}
	if s.table != nil && s.table.Prefix == t.Prefix && s.table.file == file {
		return fmt.Errorf("registry %q is there twice", t.Prefix)
	}
	t.file = file
	s.table = t
	return nil
}

// shortName returns ref as the user wrote it, without tag and digest, or "" if it names a
// host.
func shortName(ref name.Reference) string {
	s, _, _ := strings.Cut(ref.String(), "@")
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, '/') {
		s = s[:i]
	}
	if host, _, found := strings.Cut(s, "/"); found && isHost(host) {
		return ""
	}
	return s
}

// warnShort warns if a short name means something else to podman.
func (s *settings) warnShort(ref name.Reference, warn func(string)) {
	if s.short == "" {
		return
	}
	repo := strings.Replace(ref.Context().Name(), name.DefaultRegistry+"/", "docker.io/", 1)
	switch {
	case s.alias.value != "":
		if s.alias.value != repo {
			warn(fmt.Sprintf("%s: aliases are not followed: %q is %s, not %s", s.alias.file, s.short, repo, s.alias.value))
		}
	case s.search.value != "" && s.search.value != "docker.io":
		warn(fmt.Sprintf("%s: unqualified-search-registries are not asked: %q is %s", s.search.file, s.short, repo))
	}
}

// checkRegular returns an error if file is not a regular file: opening it might wait.
func checkRegular(file string) error {
	info, err := os.Stat(file)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", file)
	}
	return err
}

// ReadFile reads a file, which may be a pipe. It is an error if the file has more than
// limit bytes. Errors name the file.
func ReadFile(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: longer than %d bytes", file, limit)
	}
	return data, err
}
