// Package cron runs package mqcron on live servers.
package cron
