package sqlite

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

var (
	//go:embed schema.sql
	schemaSQL string
	//go:embed schema2.sql
	schema2SQL string
	//go:embed schema3.sql
	schema3SQL string
	//go:embed schema4.sql
	schema4SQL string
	//go:embed schema5.sql
	schema5SQL string
	//go:embed triggers.sql
	triggersSQL string
	//go:embed statements.sql
	statementsSQL string
	//go:embed browse.sql
	browseSQL string
)

// layouts are what makes each version of the layout of the one before.
var layouts = []string{schemaSQL, schema2SQL, schema3SQL, schema4SQL, schema5SQL}

// Statements are known by their texts.
var statements = parseStatements(statementsSQL + browseSQL)

// statement returns the statement of that name.
func statement(name string) string {
	text, ok := statements[name]
	if !ok {
		panic(fmt.Sprintf("sqlite: there is no statement %q", name))
	}
	return text
}

// parseStatements returns the statements in text by their names, without comments.
func parseStatements(text string) map[string]string {
	found := make(map[string]string)
	for _, part := range strings.Split(text, "\n-- name: ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		var lines []string
		for line := range strings.Lines(body) {
			if !strings.HasPrefix(line, "--") {
				lines = append(lines, line)
			}
		}
		found[name] = strings.TrimSpace(strings.Join(lines, ""))
	}
	return found
}

// insertRows are how many rows the INSERT statements have.
var insertRows = []int{100, 20, 4, 1}

// inserts are the INSERT statements by their number of rows. ?1 is the queue and ?2 the
// time of all rows, and each has six values of its own. Those have no numbers: the
// library looks for the name of each parameter that has one, among all of them.
var inserts = func() map[int]string {
	texts := make(map[int]string)
	for _, n := range insertRows {
		rows := slices.Repeat([]string{"(?1, ?2, ?, ?, 0, 0, 0, 0, 0, ?, ?, ?, ?)"}, n)
		texts[n] = statement("insert") + " " + strings.Join(rows, ", ")
	}
	return texts
}()

// newestFirst turns the order of a statement that ends with ORDER BY m.id and a LIMIT.
func newestFirst(text string) string {
	return strings.Replace(text, "ORDER BY m.id", "ORDER BY m.id DESC", 1)
}

var (
	sqlLock            = statement("lock")
	sqlFile            = statement("file")
	sqlVersion         = statement("version")
	sqlTouch           = statement("touch")
	sqlTables          = statement("tables")
	sqlQueue           = statement("queue")
	sqlCreate          = statement("create")
	sqlList            = statement("list")
	sqlAbandon         = statement("abandon")
	sqlAbandoned       = statement("abandoned")
	sqlForget          = statement("forget")
	sqlForgetHidden    = statement("forget hidden")
	sqlForgetGroupings = statement("forget groupings")
	sqlForgetKeys      = statement("forget keys")
	sqlForgetBindings  = statement("forget bindings")
	sqlForgetEnded     = statement("forget ended")
	sqlForgetLeft      = statement("forget left")
	sqlHeldKeys        = statement("held keys")
	sqlHoldKeys        = statement("hold keys")
	sqlBind            = statement("bind")
	sqlUnbind          = statement("unbind")
	sqlBindings        = statement("bindings")
	sqlBindingsOf      = statement("bindings of")
	sqlPause           = statement("pause")
	sqlResume          = statement("resume")
	sqlPaused          = statement("paused")
	sqlReport          = statement("report")
	sqlForgetReport    = statement("forget report")
	sqlForgetExpired   = statement("forget expired")
	sqlForgetReports   = statement("forget reports")
	sqlConsumers       = statement("consumers")
	sqlReserve         = statement("reserve")
	sqlInsertBody      = statement("insert body")
	sqlLook            = statement("look")
	sqlGroups          = statement("groups")
	sqlLargest         = statement("largest")
	sqlClaimSome       = statement("claim some")
	sqlAck             = statement("ack")
	sqlClaim           = statement("claim")
	sqlLease           = statement("lease")
	sqlBody            = statement("body")
	sqlStates          = statement("states")
	sqlNack            = statement("nack")
	sqlRelease         = statement("release")
	sqlExtend          = statement("extend")
	sqlDelete          = statement("delete")
	sqlDeleteBodies    = statement("delete bodies")
	sqlArchive         = statement("archive")
	sqlMove            = statement("move")
	sqlMoveBody        = statement("move body")
	sqlRedrive         = statement("redrive")
	sqlUnarchive       = statement("unarchive")
	sqlArchived        = statement("archived")
	sqlArchivedFirst   = statement("archived first")
	sqlArchivedBefore  = statement("archived before")
	sqlMessages        = statement("messages")
	sqlPop             = statement("pop")
	sqlReasons         = statement("reasons")
	sqlCount           = statement("count")
	sqlHide            = statement("hide")
	sqlTouched         = statement("touched")
	sqlTouchAt         = statement("touch at")
	sqlUncount         = statement("uncount")
	sqlRecount         = statement("recount")
	sqlObjects         = statement("objects")
	sqlAnyGrouping     = statement("any grouping")
	sqlCounters        = statement("counters")
	sqlSweep           = statement("sweep")
	sqlStats           = statement("stats")
	sqlBlocked         = statement("blocked")
	sqlLag             = statement("lag")
	sqlGrouping        = statement("grouping")
	sqlGroupings       = statement("groupings")
	sqlGroupBy         = statement("group by")
	sqlCountGroupings  = statement("count groupings")
	sqlContents        = statement("contents")
	sqlEnter           = statement("enter")
	sqlLimitedGroups   = statement("limited groups")
	sqlTurns           = statement("turns")
	sqlFilled          = statement("filled")
	sqlLookHeads       = statement("look heads")
	sqlHeads           = statement("heads")
	sqlHolders         = statement("holders")
	sqlMembers         = statement("members")
	sqlNextMember      = statement("next member")
)
