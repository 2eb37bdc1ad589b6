// Package mqui is the web page for operators of queues: which messages wait, which queues
// are stuck, which messages are dead letters and why, and the actions that put it right.
//
//	ui, err := mqui.New([]mqui.Source{{Name: "shop", Client: client}}, mqui.Options{
//		Authorize: func(r *http.Request) mqui.Role { return roleOf(r) },
//		Hosts:     []string{"ops.example.com"},
//	})
//	http.Handle("/queues/", http.StripPrefix("/queues", ui))
//
// A UI is an http.Handler. All its links are relative, so it works under any prefix, also
// behind a proxy that strips a prefix. It needs neither JavaScript nor a session. It links
// package mq and the standard library only.
//
// # Figures
//
// A goroutine for each Source counts its queues every Options.Interval, and keeps a history
// of 15 minutes in memory. Sent per second comes from Stats.TotalSent. Done per second
// counts messages that have left a queue, in whatever way: a purge shows as a peak. "-" is
// a figure that the provider does not know, and "~" marks an estimate. Histories, redrives
// and results of actions belong to one process: each of several replicas has its own.
//
// # Roles
//
// Options.Authorize gives each request a Role. RoleLook sees the pages; RoleOperate may also
// use actions, each of which checks the role itself. An action is offered only if the
// provider supports it. It shows its result, such as how many messages it affected, and
// writes a line to Options.Logger: who, what, where and how many.
//
// # Security
//
// Requests must name an expected host, so that no foreign page reaches a UI on a loopback
// address under a name of its own. POST requests from other origins are refused. The pages
// run no inline script, load nothing from elsewhere and cannot be framed. Bodies and
// header values are shown as Options.Bodies, Options.Headers and Options.Redact allow; a
// search sees no more than the page shows. Protect asks for credentials, for programs
// without a login of their own.
package mqui
