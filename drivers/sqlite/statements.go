package sqlite

import (
	_ "embed"
	"fmt"
	"strings"
)

var (
	//go:embed schema.sql
	schemaSQL string
	//go:embed triggers.sql
	triggersSQL string
	//go:embed statements.sql
	statementsSQL string
)

// Statements are known by their texts.
var statements = parseStatements(statementsSQL)

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
var insertRows = []int{32, 8, 1}

var inserts = func() map[int]string {
	texts := make(map[int]string)
	for _, n := range insertRows {
		rows := strings.TrimSuffix(strings.Repeat("(?, ?, ?, 0, 0, 0, 0, 0, ?, ?, ?, ?, ?), ", n), ", ")
		texts[n] = statement("insert") + " " + rows
	}
	return texts
}()

var (
	sqlLock            = statement("lock")
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
	sqlReserve         = statement("reserve")
	sqlInsertBody      = statement("insert body")
	sqlLook            = statement("look")
	sqlClaim           = statement("claim")
	sqlLease           = statement("lease")
	sqlBody            = statement("body")
	sqlStates          = statement("states")
	sqlNack            = statement("nack")
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
	sqlBrowse          = statement("browse")
	sqlBrowseArchive   = statement("browse archive")
	sqlCount           = statement("count")
	sqlHide            = statement("hide")
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
	sqlFilled          = statement("filled")
	sqlLookHeads       = statement("look heads")
	sqlHeads           = statement("heads")
	sqlHolders         = statement("holders")
	sqlMembers         = statement("members")
	sqlNextMember      = statement("next member")
)
