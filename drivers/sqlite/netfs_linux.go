package sqlite

import (
	"path/filepath"
	"syscall"
)

// Types of network file systems, from statfs(2).
var networkTypes = map[uint32]string{
	0x6969:     "NFS",
	0x517b:     "SMB",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB2",
	0x01021997: "9P",
	0x00c36400: "Ceph",
	0x5346414f: "AFS",
	0x73757245: "Coda",
	0x0bd00bd0: "Lustre",
}

// checkFileSystem refuses a file with several names, of which SQLite does not know, and
// network file systems: their locks are not to be trusted, and
// the log is shared memory, which two hosts do not have
// (https://sqlite.org/wal.html).
func checkFileSystem(path string) error {
	var file syscall.Stat_t
	if syscall.Stat(path, &file) == nil && file.Mode&syscall.S_IFMT == syscall.S_IFREG && file.Nlink > 1 {
		return refuse("the file has several names (hard links), and under each it would have a log of its own: remove the others")
	}
	var s syscall.Statfs_t
	if syscall.Statfs(filepath.Dir(path), &s) != nil {
		return nil // opening it says more
	}
	return checkFileSystemType(uint32(s.Type)) // its type differs from platform to platform
}

func checkFileSystemType(kind uint32) error {
	if name := networkTypes[kind]; name != "" {
		return refuse("the file is on a network file system (%s), where SQLite's locks are not safe: use a local disk, or a server", name)
	}
	return nil
}
