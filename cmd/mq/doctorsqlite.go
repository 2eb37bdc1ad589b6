package main

import (
	"context"

	"github.com/portmq/mq/drivers/sqlite"
)

// sqlite runs the checks of the driver. All queues are looked at: they share the file.
func (d *doctor) sqlite(ctx context.Context, p *sqlite.Provider, queues []string) error {
	missing := mustExist(ctx, d.client, queues...)
	for _, c := range p.Checks() {
		err := d.look(ctx, c.Where, c.What, func(ctx context.Context) error {
			found, err := c.Run(ctx)
			for _, f := range found {
				d.tell(f)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return missing
}

func (d *doctor) tell(f sqlite.Finding) {
	switch f.Level {
	case sqlite.Problem:
		d.problem(f.Where, "%s", f.Text)
	case sqlite.Advice:
		d.advice(f.Where, "%s", f.Text)
	default:
		d.ok(f.Where, "%s", f.Text)
	}
}
