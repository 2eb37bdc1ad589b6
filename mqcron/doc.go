// Package mqcron runs schedules on the queues of package mq: a message is sent to a
// queue whenever a cron text says so. It needs no leader, no lock and no table, only a
// provider with delays, deduplication and browsing: memory, SQLite or PGMQ.
//
//	err := mqcron.Run(ctx, client, mqcron.Config{},
//		mqcron.Every("report", "0 6 * * MON-FRI", berlin, reports, Report{Kind: "daily"}),
//		mqcron.Every("sweep", "@every 90s", nil, sweeps, Sweep{}, mqcron.CatchUpNone),
//	)
//
// Run sets the schedules, then fires what is due until ctx ends. Run it in as many
// processes as you like: any of them may fire any schedule, and as long as one is alive
// nothing is missed. The messages are consumed like all others, by the same programs or
// by different ones.
//
// # How it works
//
// A control queue, mq_cron, holds one delayed message for each schedule: its definition,
// and when its next occurrence is due. The process that receives the message at that
// time
//
//  1. looks into the control queue. If a later occurrence or a newer definition is there,
//     this one is done, and the message is acked;
//  2. sends the payload, with the DedupKey mqcron/NAME/DUE, held for 7 days;
//  3. sends the control message of the next occurrence, with a DedupKey made of the name,
//     the version of the definition and the occurrence that it follows, held for a day;
//  4. acks.
//
// After a crash in between the message is delivered again, to another process, within
// [Visibility]. The keys make steps 2 and 3 happen once. A control message is acked only
// when its successor is stored, so a schedule cannot be lost.
//
// Definitions have versions. Set reads the current one and sends the next, whose key is the
// version: of several processes that do so at the same time one succeeds, and the
// others look again. If the definition is the same, as when 30 processes start, nothing is
// sent.
//
// # What is promised
//
// Each occurrence sends one message, late but not twice, as long as no process hangs
// between steps 1 and 2 for more than 7 days. Handlers must still tolerate
// redelivery, as with every queue. An occurrence is late by the time that the backend
// takes to deliver the message, up to Caps.Resolution and a second or so more, and by up to
// [Visibility] after a crash. It is never early by the clock of the process that fires it: if
// that differs from the backend's, the message is given back for the rest of the time.
//
// The messages carry the headers [HeaderName] and [HeaderDue], where the provider has
// headers, so that a handler can tell which occurrence it handles.
//
// # Texts
//
// A schedule is a cron text of five fields (minute, hour, day of the month, month, day of
// the week), a descriptor (@hourly, @daily or @midnight, @weekly, @monthly, @yearly or
// @annually), or "@every 90s". Fields take *, ? for the same, lists, ranges, steps, JAN-DEC
// and SUN-SAT; Sunday is 0, not 7. If both days are restricted, one of them is enough. A day
// that a month does not have, such as the 31st, is passed over. At most 255 bytes. A text
// that never matches, such as "0 0 30 2 *", is [mq.ErrInvalid].
//
// "@every" takes a duration of a second or more. It does not count from the start
// of a process: like time.Truncate it counts from the beginning of the year 1 in UTC, so
// "@every 90s" means the same in each process and after each restart, and "@every 24h" is
// midnight in UTC.
//
// # Daylight saving
//
// Texts are read in the time zone of the schedule. If their hour field allows every hour,
// as in "*/10 * * * *", they go by elapsed time: they neither pause nor repeat when the
// clocks change. Other texts name times of day, and each has one occurrence a day:
//
//   - A time in the hour that does not exist comes as much later as the clocks are
//     moved: 02:30 in Europe/Berlin at 03:30. If that time is in the text too, the two are one.
//   - A time in the hour that comes twice comes the first time.
//
// # After downtime
//
// An occurrence that is more than a minute late has been missed. [CatchUp] says what
// becomes of it: one message for all that were missed, one for each, or none. Where
// occurrences are missed because no process runs, nothing is needed to catch up: the
// control message is still in the queue.
//
// # Redefinition and removal
//
// Another definition of the same name replaces the old one. Occurrences up to the time
// of the change belong to the old definition, later ones to the new. During a
// rolling deployment the process that starts last decides; old processes that start again
// meanwhile set their own definition.
//
// Remove sends a tombstone. It stays in the control queue for 8 days, or until the
// pending occurrence is due if that is later. An occurrence that a process fires at that
// moment may still be sent. A schedule that is no longer passed to Run stays until it is removed.
//
// Do not purge the control queue: that deletes all schedules, until Run sets its
// own again. What cannot be decoded goes to its archive. If the target queue is missing, the
// occurrence is tried again every minute, and the log says so.
package mqcron
