package hosts

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Verify says which registries must show a valid certificate.
type Verify int

// The choices.
const (
	VerifyConfigured Verify = iota // all but those that a configuration calls insecure
	VerifyAll
	VerifyNone
)

// Options say where certificates are.
type Options struct {
	Dirs                  []string // directories such as certs.d; the first that has a host counts
	CACert                string   // PEM file of certificates to trust besides the system's
	ClientCert, ClientKey string   // PEM files, for the host in the image's name; both or neither
	Verify                Verify
}

// Certs makes TLS configurations for hosts.
type Certs struct {
	dirs   []string
	roots  *x509.CertPool // nil means the system's
	client []tls.Certificate
	skip   bool
}

// Peer is a host, and how it was reached.
type Peer struct {
	Host       string // HOST or HOST:PORT
	Known      bool   // it may see client certificates, since no redirect has led there
	Named      bool   // it is the host in the image's name
	Unverified bool   // its certificate is not verified
}

// maxCert is the greatest length of a file of certificates, in bytes.
const maxCert = 4 << 20

// LoadCerts reads the certificates that are for all hosts. Errors name the file.
func LoadCerts(o Options) (*Certs, error) {
	c := &Certs{dirs: o.Dirs, skip: o.Verify == VerifyNone}
	if o.CACert != "" {
		c.roots = c.copyRoots()
		if err := addAuthorities(c.roots, o.CACert); err != nil {
			return nil, err
		}
	}
	if (o.ClientCert == "") != (o.ClientKey == "") {
		return nil, errors.New("a client certificate needs its key, and a key its certificate")
	}
	if o.ClientCert != "" {
		pair, err := loadPair(o.ClientCert, o.ClientKey)
		if err != nil {
			return nil, err
		}
		c.client = []tls.Certificate{pair}
	}
	return c, nil
}

// Config returns the TLS configuration for p. If own is true it is for p alone, else other
// hosts may share it.
func (c *Certs) Config(p Peer) (conf *tls.Config, own bool, err error) {
	conf = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.roots, InsecureSkipVerify: c.skip || p.Unverified}
	if dir := c.dirOf(p.Host); dir != "" {
		own = true
		if err := c.addDir(conf, dir, p.Known); err != nil {
			return nil, false, err
		}
	}
	if p.Known && p.Named && c.client != nil {
		conf.Certificates, own = c.client, true
	}
	return conf, own, nil
}

// dirOf returns the directory of host, or "" if there is none or host is not safe as a file
// name.
func (c *Certs) dirOf(host string) string {
	if host == name.DefaultRegistry {
		host = "docker.io"
	}
	if host == "" || host == "." || host == ".." || strings.ContainsAny(host, "/\x00") {
		return ""
	}
	for _, d := range c.dirs {
		dir := filepath.Join(d, host)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return ""
}

// addDir adds the certificates in dir to conf; client certificates only if known.
func (c *Certs) addDir(conf *tls.Config, dir string, known bool) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.Name()
	}
	for _, file := range names {
		path, ext := filepath.Join(dir, file), filepath.Ext(file)
		if ext != ".crt" && (!known || ext != ".cert" && ext != ".key") {
			continue
		}
		if err := checkRegular(path); err != nil {
			return err
		}
		switch stem := strings.TrimSuffix(file, ext); ext {
		case ".crt":
			if conf.RootCAs == c.roots {
				conf.RootCAs = c.copyRoots()
			}
			err = addAuthorities(conf.RootCAs, path)
		case ".cert":
			var pair tls.Certificate
			pair, err = loadPair(path, filepath.Join(dir, stem+".key"))
			conf.Certificates = append(conf.Certificates, pair)
		case ".key":
			if !slices.Contains(names, stem+".cert") {
				err = fmt.Errorf("%s: the certificate of this key, %s.cert, is missing", path, stem)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyRoots returns a copy of the authorities that are trusted for all hosts.
func (c *Certs) copyRoots() *x509.CertPool {
	if c.roots != nil {
		return c.roots.Clone()
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return x509.NewCertPool()
	}
	return pool
}

func addAuthorities(pool *x509.CertPool, file string) error {
	pem, err := ReadFile(file, maxCert)
	if err == nil && !pool.AppendCertsFromPEM(pem) {
		err = fmt.Errorf("%s: no certificate in PEM form in it", file)
	}
	return err
}

// loadPair reads the certificate of a client and its key.
func loadPair(certFile, keyFile string) (pair tls.Certificate, err error) {
	cert, err := ReadFile(certFile, maxCert)
	if err != nil {
		return pair, err
	}
	key, err := ReadFile(keyFile, maxCert)
	if errors.Is(err, fs.ErrNotExist) {
		return pair, fmt.Errorf("%s: the key of this certificate: %w", certFile, err)
	}
	if err != nil {
		return pair, err
	}
	if pair, err = tls.X509KeyPair(cert, key); err != nil {
		return pair, fmt.Errorf("%s: %w", certFile, err)
	}
	return pair, nil
}
