package server

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// local is a private cluster, made with the programs of this machine.
type local struct {
	*folder
	bin  string
	port string
}

// openLocal makes a cluster and starts it.
func openLocal() (*Cluster, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	folder, err := newFolder("postgres")
	if err != nil {
		return nil, err
	}
	l := &local{folder: folder, bin: bin}
	password := secret() // every user of the machine can connect to loopback
	if err := l.init(password); err != nil {
		return nil, errors.Join(err, l.remove())
	}
	return connect(ourDSN(password, l.port), "with "+bin, l)
}

func (l *local) init(password string) (err error) {
	if l.port, err = freePort(); err != nil {
		return err
	}
	if err := l.write("password", password); err != nil {
		return err
	}
	err = l.run(filepath.Join(l.bin, "initdb"), "--pgdata="+l.file("data"), "--username=postgres",
		"--pwfile="+l.file("password"), "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	if err != nil {
		return err
	}
	return l.start()
}

func (l *local) start() error {
	args := []string{"-D", l.file("data"), "-h", "127.0.0.1", "-p", l.port, "-k", ""}
	return l.serve(filepath.Join(l.bin, "postgres"), append(args, settings...)...)
}

// binVariable names the folder of the programs to use. They are run by nobody
// where the tests run as root.
const binVariable = "MQ_TEST_POSTGRES_BIN"

func postgresPrograms() (bin string, err error) {
	bin = os.Getenv(binVariable)
	if bin == "" {
		return newestPostgres()
	}
	if majorVersion(bin) == 0 {
		return "", fmt.Errorf("%s=%s has no initdb and no postgres that runs", binVariable, bin)
	}
	return bin, nil
}

// newestPostgres returns the folder of the newest programs of this machine.
func newestPostgres() (bin string, err error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if initdb, err = filepath.EvalSymlinks(initdb); err == nil {
			bins = append(bins, filepath.Dir(initdb))
		}
	}
	newest := 0
	for _, b := range slices.Sorted(slices.Values(bins)) {
		if v := majorVersion(b); v > newest {
			bin, newest = b, v
		}
	}
	if bin == "" {
		return "", errors.New("there is no initdb in PATH or /usr/lib/postgresql/*/bin: install postgresql")
	}
	return bin, nil
}

// majorVersion returns that of the programs in a folder, or 0.
func majorVersion(bin string) (major int) {
	if _, err := os.Stat(filepath.Join(bin, "initdb")); err != nil {
		return 0
	}
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	_, _ = fmt.Sscanf(string(out), "postgres (PostgreSQL) %d", &major)
	return major
}
