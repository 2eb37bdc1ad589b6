package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// smallDisk is a file system in memory that can be filled.
type smallDisk struct{ path string }

// newSmallDisk mounts one, which takes the rights of root.
func newSmallDisk(path, size string) (*smallDisk, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	if err := syscall.Mount("tmpfs", path, "tmpfs", syscall.MS_NODEV|syscall.MS_NOSUID, "mode=755,size="+size); err != nil {
		return nil, fmt.Errorf("%w: mount: %w", errSkipped, err)
	}
	return &smallDisk{path}, nil
}

// fill fills the disk until it is healed.
func (d *smallDisk) fill(context.Context, pick) (func(context.Context) error, error) {
	path := filepath.Join(d.path, "ballast")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	heal := func(context.Context) error { return errors.Join(f.Close(), os.Remove(path)) }
	for block := make([]byte, 1<<20); err == nil && len(block) > 0; {
		if _, err = f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block, err = block[:len(block)/2], nil
		}
	}
	return heal, err
}

func (d *smallDisk) remove() error {
	err := syscall.Unmount(d.path, 0)
	if errors.Is(err, syscall.EBUSY) {
		err = syscall.Unmount(d.path, syscall.MNT_DETACH)
	}
	return err
}
