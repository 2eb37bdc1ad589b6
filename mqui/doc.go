// Package mqui is the web page for operators of queues: what waits, what is stuck, what
// became a dead letter and why, and the acts that put it right.
//
//	ui, err := mqui.New([]mqui.Source{{Name: "shop", Client: client}}, mqui.Options{
//		Authorize: func(r *http.Request) mqui.Role { return roleOf(r) },
//		Hosts:     []string{"ops.example.com"},
//	})
//	http.Handle("/queues/", http.StripPrefix("/queues", ui))
//
// A UI is an http.Handler. All its links are relative, so it works below any prefix, also
// behind a proxy that takes a prefix off. It needs neither JavaScript nor a session. It
// links package mq and the standard library only.
//
// # Figures
//
// A goroutine for each Source counts its queues every Options.Interval, and keeps 15
// minutes in memory. Sent per second comes from Stats.TotalSent. Done per second is what
// has left a queue, however it did: a purge shows as a peak. A figure that the provider
// cannot tell is "-", and "~" marks an estimate. Histories, jobs and messages about acts
// belong to one process: of several replicas each has its own.
//
// # Roles
//
// Options.Authorize gives each request a Role. RoleLook sees the pages; RoleOperate may act
// as well, and each act checks that itself. An act is drawn only where the provider can do
// it. It says how many messages it hit, and writes a line to Options.Logger: who, what,
// where and how many.
//
// # Security
//
// Requests must name a host that is expected, so that no foreign page reaches a UI on a
// loopback address by a name of its own. Posts from other origins are refused. The pages
// run no inline script, load nothing from elsewhere and cannot be framed. Bodies and
// header values are shown as Options.Bodies, Options.Headers and Options.Redact allow; a
// search sees no more than the page shows. Protect asks for credentials where the program
// has no login of its own.
package mqui
