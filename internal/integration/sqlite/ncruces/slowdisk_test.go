package ncruces

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/portmq/mq"
	driver "github.com/portmq/mq/drivers/sqlite"
)

const slow = 200 * time.Millisecond

// slowDisk is the file system of the operating system, on a disk that takes long to
// sync a log.
type slowDisk struct{ vfs.VFSFilename }

type slowLog struct{ vfs.FileSharedMemory }

func (s slowDisk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, out, err := s.VFSFilename.OpenFilename(name, flags)
	if shared, ok := f.(vfs.FileSharedMemory); ok && err == nil && strings.HasSuffix(name.String(), "-wal") {
		f = slowLog{shared}
	}
	return f, out, err
}

func (f slowLog) Sync(flags vfs.SyncFlag) error {
	time.Sleep(slow)
	return f.FileSharedMemory.Sync(flags)
}

// TestNcrucesSlowDisk: a receiver is woken by a commit that takes long, of the program's
// own transaction.
func TestNcrucesSlowDisk(t *testing.T) {
	vfs.Register("slow", slowDisk{vfs.Find("os").(vfs.VFSFilename)})
	path := filepath.Join(t.TempDir(), "queue.db")
	db, err := sql.Open("sqlite3", "file:"+path+"?vfs=slow&"+library.Settings.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	c := mq.New(driver.FromDB(db, driver.Config{}), mq.Config{})
	defer c.Close()
	q, err := c.EnsureQueue(t.Context(), "q", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan time.Time, 1)
	go func() {
		ds, err := q.Receive(t.Context(), mq.ReceiveOptions{Wait: 20 * time.Second})
		if err != nil || len(ds) != 1 {
			t.Errorf("received %d, %v", len(ds), err)
		}
		received <- time.Now()
	}()
	time.Sleep(time.Second) // it waits
	tx, err := db.Begin()
	if err == nil {
		_, err = q.Tx(tx).Send(t.Context(), &mq.Message{})
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	committed := time.Now()
	if late := (<-received).Sub(committed); late > 5*time.Second {
		t.Errorf("received %v after the commit", late)
	}
}
