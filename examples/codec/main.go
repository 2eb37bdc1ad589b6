// Codec sends compressed JSON. A codec is three methods; it is named once, when
// the client is opened, and typed queues use it from then on.
//
//	go run ./examples/codec
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
	_ "github.com/portmq/mq/drivers/rabbitstub"
)

// gzipJSON is the codec.
type gzipJSON struct{}

var (
	magic       = []byte{0x1f, 0x8b} // what gzip begins with, and JSON does not
	errTooLarge = errors.New("more than 16 MiB when unpacked")
)

const maxSize = 16 << 20

func (gzipJSON) ContentType() string { return "application/json+gzip" }

func (gzipJSON) Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

func (gzipJSON) Unmarshal(data []byte, v any) error {
	if !bytes.HasPrefix(data, magic) {
		return json.Unmarshal(data, v) // sent before there was this codec
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	switch {
	case err != nil:
		return err
	case len(plain) > maxSize:
		return errTooLarge // a few bytes can unpack to very many
	}
	return json.Unmarshal(plain, v)
}

// Page is what the queue carries.
type Page struct{ Title, Text string }

func main() {
	dsn := flag.String("dsn", "mem://", "the `provider` to use: mem:// or rabbitstub://")
	flag.Parse()
	if err := run(context.Background(), *dsn, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "codec:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dsn string, out io.Writer) error {
	c, err := mq.OpenConfig(dsn, mq.Config{Codec: gzipJSON{}})
	if err != nil {
		return err
	}
	defer c.Close()
	q, err := c.EnsureQueue(ctx, "pages", mq.QueueOptions{})
	if err != nil {
		return err
	}
	pages := mq.Of[Page](q)
	old := &mq.Message{Body: []byte(`{"Title":"Old","Text":"not compressed"}`)}
	if _, err := q.Send(ctx, old); err != nil {
		return err
	}
	if err := receive(ctx, pages, out); err != nil {
		return err
	}
	if _, err := pages.Send(ctx, Page{"New", strings.Repeat("the same again, ", 1000)}); err != nil {
		return err
	}
	return receive(ctx, pages, out)
}

func receive(ctx context.Context, pages mq.TypedQueue[Page], out io.Writer) error {
	ds, err := pages.Receive(ctx, mq.ReceiveOptions{Wait: mq.Forever})
	if err != nil {
		return err
	}
	d := ds[0]
	page, err := d.Value()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s (%q): %d bytes of text, less in the queue: %v\n",
		page.Title, d.Headers["content-type"], len(page.Text), len(d.Body) < len(page.Text))
	return d.Ack(ctx)
}
