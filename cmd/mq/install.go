package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portmq/mq/drivers/pgmq"
)

func installCommand(a *app) *cobra.Command {
	var show bool
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Make or upgrade PGMQ's schema in a PostgreSQL database",
		Long: `Make PGMQ's schema in a PostgreSQL database, for programs that have no right to,
and bring the tables of older queues up to date.

Where PGMQ itself is installed it changes nothing: upgrade it by its own means.
It may run any number of times, and says which sessions it waits for. Other
providers need nothing to be installed.`,
		Example: `  mq -dsn pgmq://admin@localhost/shop install
  mq install -print | psql shop`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if show {
				return a.write(pgmq.InstallSQL())
			}
			dsn, err := a.theDSN()
			if err != nil {
				return err
			}
			if scheme, _, _ := strings.Cut(dsn, ":"); !strings.EqualFold(scheme, "pgmq") {
				c, err := a.openDSN(dsn)
				if err != nil {
					return err
				}
				return errors.Join(c.Close(), usagef("%s needs no installation; it is for pgmq://", c.Provider().Name()))
			}
			db, err := pgmq.OpenDB(dsn)
			if err != nil {
				return &usageError{err}
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			stop := a.tellWaits(cmd.Context(), db, "install")
			err = pgmq.Install(cmd.Context(), db)
			stop()
			if err != nil {
				return fmt.Errorf("%w (what is done stays; the command can be run again)", err)
			}
			if a.json() {
				return a.write("{\"done\":\"installed\"}\n")
			}
			_, err = fmt.Fprintln(a.stdout, "installed")
			return err
		},
	}
	cmd.Flags().BoolVar(&show, "print", false, "show the SQL instead of running it")
	return cmd
}
