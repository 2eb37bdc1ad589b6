package sqlite

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"

	"github.com/portmq/mq/driver"
)

// checkLayout looks for the tables, indexes and triggers of the embedded layout. There
// are triggers once a queue was received by group.
func (p *Provider) checkLayout(ctx context.Context) ([]Finding, error) {
	var f findings
	var have map[string]string
	err := p.read(ctx, func(run driver.SQLTx) (err error) {
		have, err = objects(ctx, run)
		return err
	})
	if err != nil {
		return nil, err
	}
	groupings, err := ask(ctx, p, sqlAnyGrouping, itself[int64])
	if err != nil {
		return nil, err
	}
	want, err := embedded(ctx, len(groupings) > 0)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch sql, ok := have[name]; {
		case !ok && strings.HasPrefix(name, "trigger "):
			f.add(Problem, "layout", "the %s is missing: groups are not what they should be (stop all programs and run DELETE FROM mq_member; DELETE FROM mq_group; DELETE FROM mq_grouping; UPDATE mq_queue SET groupings = 0: the next receive by group makes them again)", name)
		case !ok && strings.HasPrefix(name, "table "):
			f.add(Problem, "layout", "the %s is missing (restore a copy of the file)", name)
		case !ok:
			f.add(Problem, "layout", "the %s is missing (%s)", name, oneLine(want[name]))
		case !strings.HasPrefix(name, "table ") && oneLine(sql) != oneLine(want[name]):
			f.add(Problem, "layout", "the %s is not the one that this driver makes", name)
		}
	}
	if len(f) == 0 {
		f.add(OK, "layout", "version %d, with all indexes", schemaVersion)
	}
	return f, nil
}

// embedded returns what the driver makes in a new file. A database in memory has no
// locks that could be lost.
func embedded(ctx context.Context, triggers bool) (map[string]string, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1) // each has a database of its own
	text := strings.Join(layouts, "")
	if triggers {
		text += triggersSQL
	}
	if _, err := db.ExecContext(ctx, text); err != nil {
		return nil, err
	}
	return objects(ctx, db)
}

// objects returns the SQL of what is in a database, by kind and name.
func objects(ctx context.Context, run driver.SQLTx) (map[string]string, error) {
	found := make(map[string]string)
	err := query(ctx, run, func(rows *sql.Rows) error {
		var name, text string
		err := rows.Scan(&name, &text)
		found[name] = text
		return err
	}, sqlObjects)
	return found, err
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
