// Package ui tests the web page of package mqui in a browser, on all providers, with
// many messages in one queue. Its screenshots are those of the documentation: make
// ui-test takes them anew.
package ui
