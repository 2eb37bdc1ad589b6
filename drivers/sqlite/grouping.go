package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"github.com/portmq/mq/driver"
)

// A grouping keeps the groups that one driver.GroupBy makes of a queue in tables, so
// that the heads of free groups are found at once, however many there are. It begins
// with the first receive by it: the messages that there are by then are entered in
// steps, which others' commits come between, and later ones when they are sent. Triggers
// follow what becomes of them.

// specOf names a grouping in the file.
func specOf(by driver.GroupBy) string {
	words := []string{"group"}
	switch {
	case by.Header != "":
		words = []string{"header", by.Header}
	case by.Path != nil:
		words = append([]string{"path"}, by.Path...)
	}
	var spec any = words
	if n := by.MaxLeases(); n > 1 {
		spec = limited{n, words}
	}
	text, _ := json.Marshal(spec) // strings cannot fail
	return string(text)
}

// limited is the spec of a grouping with a limit. Drivers that know none of those cannot
// read it, and so do not enter messages in the wrong way.
type limited struct {
	Limit int      `json:"limit"`
	By    []string `json:"by"`
}

// keyed finds the keys of messages by one grouping.
type keyed struct {
	id     int64
	kind   string
	way    []string
	atOnce int // the most leases of a group
}

func parseSpec(id int64, spec string) (k keyed, err error) {
	l := limited{Limit: 1}
	into := any(&l.By)
	if strings.HasPrefix(spec, "{") {
		into = &l
	}
	if err := json.Unmarshal([]byte(spec), into); err != nil {
		return k, err
	}
	return keyed{id: id, kind: l.By[0], way: l.By[1:], atOnce: l.Limit}, nil
}

// content is what the key of a message may depend on.
type content struct {
	id, due int64
	leased  bool
	group   sql.NullString
	headers sql.NullString
	body    []byte
}

// key returns the key of a message, which is its id if it has none.
func (k keyed) key(c content) (any, error) {
	key, ok := c.group.String, c.group.Valid
	switch k.kind {
	case "header":
		h, err := parseHeaders(c.headers)
		if err != nil {
			return nil, err
		}
		key, ok = h[k.way[0]]
	case "path":
		key, ok = driver.JSONText(c.body, k.way)
	}
	if !ok {
		return c.id, nil
	}
	return key, nil
}

// buildFor is how long one receive works on a grouping that is being made. It then
// returns nothing, and is made again.
const buildFor = 10 * time.Second

// grouping returns the id of a grouping whose messages have all been entered, or 0 if
// that takes longer.
func (p *Provider) grouping(ctx context.Context, name, spec string) (id int64, err error) {
	for began := time.Now(); ; {
		var g, filled, upto sql.NullInt64
		var found bool
		err := p.read(ctx, func(run driver.SQLTx) error {
			return query(ctx, run, into(&found, &g, &filled, &upto), sqlGrouping, name, spec)
		})
		switch {
		case err != nil:
			return 0, err
		case !found:
			return 0, driver.ErrQueueNotFound
		case g.Valid && filled.Int64 >= upto.Int64:
			return g.Int64, nil
		case time.Since(began) > buildFor:
			return 0, nil
		}
		err = p.write(ctx, func(t *txn) error { return t.build(name, spec) })
		if err != nil {
			return 0, err
		}
	}
}

// grouping returns the id of a grouping that was found before.
func (t *txn) grouping(q queueRow, spec string) (id int64, err error) {
	err = t.query(func(rows *sql.Rows) error {
		var g int64
		var s string
		err := rows.Scan(&g, &s)
		if s == spec {
			id = g
		}
		return err
	}, sqlGroupings, q.id)
	return id, err
}

// buildChunk is how many messages are entered in one step.
const buildChunk = 2500

// build makes a grouping, or enters some more messages in it.
func (t *txn) build(name, spec string) error {
	q, err := t.queue(name)
	if err != nil {
		return err
	}
	k, err := parseSpec(0, spec)
	if err != nil {
		return err
	}
	made, err := t.exec(sqlGroupBy, q.id, spec, k.atOnce)
	if err != nil {
		return err
	}
	if made > 0 {
		if _, err := t.exec(triggersSQL); err != nil {
			return err
		}
		if _, err := t.exec(sqlCountGroupings, q.id); err != nil {
			return err
		}
	}
	var filled, upto int64
	var found bool
	if err := t.query(into(&found, &k.id, &filled, &upto), sqlGrouping, name, spec); err != nil {
		return err
	}
	if made == 0 && filled >= upto {
		return nil // somebody else has been faster
	}
	to, err := t.enterInto(q.id, []keyed{k}, filled+1, upto, buildChunk)
	if err != nil {
		return err
	}
	if _, err := t.exec(sqlFilled, k.id, to); err != nil || to < upto {
		return err
	}
	t.wake(name)
	if _, err = t.exec(sqlGroups, k.id); err == nil && k.atOnce > 1 {
		_, err = t.exec(sqlLimitedGroups, k.id)
	}
	return err
}

// enter enters new messages in the groupings of their queue.
func (t *txn) enter(q queueRow, first, last int64) error {
	if q.groupings == 0 {
		return nil
	}
	var all []keyed
	err := t.query(func(rows *sql.Rows) error {
		var id int64
		var spec string
		if err := rows.Scan(&id, &spec); err != nil {
			return err
		}
		k, err := parseSpec(id, spec)
		all = append(all, k)
		return err
	}, sqlGroupings, q.id)
	if err != nil {
		return err
	}
	_, err = t.enterInto(q.id, all, first, last, -1)
	return err
}

// enterInto enters the messages first to last, as far as they are there and up to limit
// unless that is negative, and returns the last one that was seen to.
func (t *txn) enterInto(queue int64, groupings []keyed, first, last, limit int64) (int64, error) {
	bodies := false
	for _, k := range groupings {
		bodies = bodies || k.kind == "path"
	}
	var found []membership // without the bodies, which may be large
	err := t.query(func(rows *sql.Rows) error {
		c, err := scanContent(rows)
		if err != nil {
			return err
		}
		m := membership{id: c.id, due: c.due}
		if c.leased {
			m.until = c.due
		}
		for _, k := range groupings {
			key, err := k.key(c)
			if err != nil {
				return err
			}
			m.keys = append(m.keys, key)
		}
		found = append(found, m)
		return nil
	}, sqlContents, messageID(queue, first), messageID(queue, last), bodies, limit)
	if err != nil {
		return 0, err
	}
	for _, m := range found {
		for i, k := range groupings {
			var due any
			if k.atOnce > 1 {
				due = m.due
			}
			if _, err := t.exec(sqlEnter, k.id, m.keys[i], m.id, m.until, due); err != nil {
				return 0, err
			}
		}
	}
	if int64(len(found)) == limit {
		last = numberOf(found[limit-1].id)
	}
	return last, nil
}

// membership is what is entered for a message.
type membership struct {
	id    int64
	due   int64
	until any   // the end of its lease, or nil
	keys  []any // one in each grouping
}

func scanContent(rows *sql.Rows) (c content, err error) {
	var apart []byte
	err = rows.Scan(&c.id, &c.due, &c.leased, &c.group, &c.headers, &c.body, &apart)
	if apart != nil {
		c.body = apart
	}
	return c, err
}
