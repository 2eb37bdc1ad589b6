package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// rowCopier copies messages from PGMQ to PGMQ as they are stored: what other
// programs have written need not fit into a message of the library.
type rowCopier struct{ from, to *pgmq.Provider }

// newRowCopier returns nil unless both ends are PGMQ.
func newRowCopier(from, to *mq.Client) *rowCopier {
	source, ok := from.Provider().(*pgmq.Provider)
	target, ok2 := to.Provider().(*pgmq.Provider)
	if !ok || !ok2 {
		return nil
	}
	return &rowCopier{source, target}
}

// sendRows is mover.store for rows.
func (m *mover) sendRows(ctx context.Context, ds []*mq.Delivery) (ids, origins []string, err error) {
	stored, err := m.readRows(ctx, ds)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: cannot read what is stored: %v", m.from.Name(), err) // not wrapped: the target has refused nothing
	}
	errs := make([]error, len(ds))
	var rows []pgmq.Row
	for i, d := range ds {
		row, ok := stored[d.ID]
		if !ok {
			errs[i] = mq.ErrMessageNotFound
			continue
		}
		origin := d.Headers[headerCopiedFrom]
		if !m.withoutOrigin {
			if headers, ok := withHeader(row.Headers, headerCopiedFrom, m.origin(d)); ok {
				row.Headers, origin = headers, m.origin(d)
			}
		}
		rows, origins = append(rows, row), append(origins, origin)
	}
	err = again(ctx, func() error {
		ids, err = m.rows.to.SendRows(ctx, m.to.Name(), rows...)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("send %q: %w", m.to.Name(), err)
	}
	if len(rows) < len(ds) {
		err = &mq.BatchError{Errs: errs}
	}
	return ids, origins, err
}

// readRows returns the rows by their ids.
func (m *mover) readRows(ctx context.Context, ds []*mq.Delivery) (map[string]pgmq.Row, error) {
	ids, rows := make([]string, len(ds)), make(map[string]pgmq.Row, len(ds))
	for i, d := range ds {
		ids[i] = d.ID
	}
	return rows, again(ctx, func() error {
		found, err := m.rows.from.Rows(ctx, m.from.Name(), ids...)
		for _, row := range found {
			rows[row.ID] = row
		}
		return err
	})
}

// again repeats a call that certainly was not applied, as package mq does.
func again(ctx context.Context, call func() error) (err error) {
	for _, pause := range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond} {
		if err = call(); !errors.Is(err, mq.ErrBadConn) || !waitFor(ctx, pause) {
			return err
		}
	}
	return call()
}

// withHeader adds a header, or replaces the one with its name. It reports false for
// headers that are not an object, which have no room for it.
func withHeader(headers []byte, name, value string) ([]byte, bool) {
	all := make(map[string]json.RawMessage)
	if headers != nil && (json.Unmarshal(headers, &all) != nil || all == nil) {
		return nil, false
	}
	all[name], _ = json.Marshal(value)
	changed, _ := json.Marshal(all) // cannot fail: strings, and JSON that has just been read
	return changed, true
}
