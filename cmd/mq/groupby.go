package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

// groupFlags are the flags for receiving by group.
type groupFlags struct {
	by    string
	limit int
}

func (g *groupFlags) flags(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&g.by, "group-by", "", what+": header, or a path in the body as in repo.id")
	cmd.Flags().IntVar(&g.limit, "group-limit", 1, "how many messages of a group may be leased at a time; above 1 they are in no strict order")
}

func (g *groupFlags) check() error {
	switch {
	case g.limit < 1:
		return usagef("-group-limit %d is below 1", g.limit)
	case g.limit > 1 && g.by == "":
		return usagef("-group-limit needs -group-by")
	}
	return nil
}

// groups returns nil without -group-by.
func (g *groupFlags) groups() *mq.GroupBy {
	if g.by == "" {
		return nil
	}
	by := groupBy(g.by)
	by.Limit = g.limit
	return by
}

// groupBy parses header, or a path of keys with dots between them.
func groupBy(text string) *mq.GroupBy {
	if text == "header" {
		return mq.ByGroup()
	}
	return mq.ByPath(strings.Split(text, ".")...)
}
