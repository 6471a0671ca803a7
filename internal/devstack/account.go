package devstack

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is whom postgres runs as. The zero value is ourselves.
type account struct {
	name     string // "" for ourselves
	uid, gid uint32
}

// unprivileged returns an account that postgres accepts: ourselves unless we
// are root.
func unprivileged() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return account{}, fmt.Errorf("user %s: %w", name, err)
		}
		return account{name, uint32(uid), uint32(gid)}, nil
	}
	return account{}, errors.New("it refuses to run as root, and there is no user postgres or nobody to run it as: " +
		"run as an ordinary user, or `useradd --system postgres`")
}

func (a account) attributes() *syscall.SysProcAttr {
	if a.name == "" {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
}

// own gives the account a file or directory.
func (a account) own(path string) error {
	if a.name == "" {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// home makes the directory that a server of the account's lives in: dir if the
// account can reach it, else one of dir's own under /var/lib or the directory
// for temporary files. It is ours; what is inside may be the account's.
func (a account) home(dir, program string, say func(string)) (string, error) {
	if a.name == "" {
		return dir, os.MkdirAll(dir, 0o700)
	}
	// Chmod, since the umask may have made it unreachable.
	if err := errors.Join(os.MkdirAll(dir, 0o711), os.Chmod(dir, 0o711)); err != nil {
		return "", err
	}
	first := a.reach(dir, program)
	if first == nil {
		return filepath.EvalSymlinks(dir)
	}
	sum := sha256.Sum256([]byte(dir))
	name := fmt.Sprintf("sessiongate-dev-%x", sum[:6])
	for _, parent := range []string{"/var/lib", os.TempDir()} {
		other := filepath.Join(parent, name)
		if mkdirOurs(other) != nil || a.reach(other, program) != nil {
			continue
		}
		say(fmt.Sprintf("postgres runs as user %s, who can't reach %s: its data is in %s", a.name, dir, other))
		return filepath.EvalSymlinks(other)
	}
	return "", fmt.Errorf("user %s, whom it runs as, can't reach %s: choose another directory: %w", a.name, dir, first)
}

// reach finds out by trying: it runs the program as the account, in dir.
func (a account) reach(dir, program string) error {
	cmd := exec.Command(program, "--version")
	cmd.Dir = dir
	cmd.SysProcAttr = a.attributes()
	return cmd.Run()
}

// mkdirOurs makes a directory that only we can write to. In a directory that
// everybody can write to, somebody else's may have the name already.
func mkdirOurs(dir string) error {
	if err := os.Mkdir(dir, 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a directory of ours", dir)
	}
	return os.Chmod(dir, 0o711) // whatever the umask made of it
}
