package snapshotpack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ocipipe/lib/cli"
	"ocipipe/lib/snapshot"
	"ocipipe/lib/snapshot/form"
)

type verify struct {
	Snapshots []string `arg:"" optional:"" name:"snapshot" help:"Archives and directories; without one, and for -, an archive on standard input."`
	Against   string   `placeholder:"JSON" help:"The image below must be this one, as oci-materialize prints it."`

	limits
}

func (v *verify) run(env *cli.Env) error {
	var pin *snapshot.Pin
	if v.Against != "" {
		var err error
		if pin, err = readPin(env, v.Against); err != nil {
			return err
		}
	}
	for _, path := range orStdin(v.Snapshots) {
		if err := v.one(env, path, pin); err != nil {
			return cli.About(path, err)
		}
	}
	return nil
}

func orStdin(paths []string) []string {
	if len(paths) == 0 {
		return []string{"-"}
	}
	return paths
}

func (v *verify) one(env *cli.Env, path string, pin *snapshot.Pin) error {
	if isDir(path) {
		dir, err := snapshot.OpenDirectory(path)
		if err != nil {
			return err
		}
		defer dir.Close()
		if pin != nil {
			if err := pin.Match(&dir.Info); err != nil {
				return err
			}
		}
		return dir.Verify(env.Context, env.Warn)
	}
	in, err := env.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	c, err := snapshot.VerifyArchive(env.Context, in, v.options(env))
	if err != nil {
		return err
	}
	if pin == nil {
		return nil
	}
	for _, s := range c.Snapshots {
		err := pin.Match(&s.Info)
		if err != nil && s != head(c) {
			err = cli.About(s.ID, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && path != "-" && fi.IsDir()
}

// head returns the head of an archive.
func head(c *form.Contents) *form.Snapshot { return c.Snapshots[len(c.Snapshots)-1] }

type inspect struct {
	Snapshot string `arg:"" optional:"" default:"-" help:"Archive or directory; without it, and for -, an archive on standard input."`

	limits
}

func (i *inspect) run(env *cli.Env) error {
	env.Expect("")
	data, err := i.read(env)
	if err != nil {
		return cli.About(i.Snapshot, err)
	}
	out, err := env.Stream("", cli.Text)
	if err != nil {
		return err
	}
	if _, err := out.Write(data); err != nil {
		return err
	}
	return out.Commit()
}

func (i *inspect) read(env *cli.Env) ([]byte, error) {
	if isDir(i.Snapshot) {
		dir, err := snapshot.OpenDirectory(i.Snapshot)
		if err != nil {
			return nil, err
		}
		return snapshot.Describe(&dir.Info, nil), dir.Close()
	}
	in, err := env.Open(i.Snapshot)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	c, err := snapshot.InspectArchive(env.Context, in, i.options(env))
	if err != nil {
		return nil, err
	}
	return snapshot.Describe(&head(c).Info, c), nil
}

type unpack struct {
	Archive string `arg:"" optional:"" default:"-" help:"Archive; without it, and for -, standard input."`
	Dir     string `short:"C" name:"directory" default:"." placeholder:"DIR" group:"Output" help:"Unpack in DIR."`
	Images  string `placeholder:"DIR" group:"Output" help:"Put files of the image into DIR."`
	Name    string `placeholder:"NAME" group:"Output" help:"Name of the directory (default: digits of the identity)."`

	limits
}

func (u *unpack) run(env *cli.Env) error {
	if u.Name != "" {
		if err := snapshot.CheckName(u.Name); err != nil {
			return cli.Usage("--name: %v", err)
		}
	}
	in, err := env.Open(u.Archive)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := env.Stream("", cli.Text)
	if err != nil {
		return err
	}
	err = env.Guard(u.Dir, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { in.Close() })() // a read that waits ends
		return u.unpack(ctx, env, in, out)
	})
	if err != nil {
		return err
	}
	return out.Commit()
}

// unpack unpacks in, and writes the path of the head to out.
func (u *unpack) unpack(ctx context.Context, env *cli.Env, in io.Reader, out io.Writer) error {
	c, err := snapshot.Unpack(ctx, in, u.Dir, snapshot.UnpackOptions{Images: u.Images, ReadOptions: u.options(env), Name: u.Name})
	if err != nil {
		if errors.Is(err, snapshot.ErrExists) {
			return err
		}
		return cli.About(u.Archive, err)
	}
	_, err = fmt.Fprintln(out, filepath.Join(u.Dir, head(c).Dir))
	return err
}
