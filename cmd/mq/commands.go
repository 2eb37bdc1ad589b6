package main

import "github.com/spf13/cobra"

// commands make the subcommands, in the order of the help.
var commands = []func(*app) *cobra.Command{
	listCommand, createCommand, dropCommand, statsCommand, describeCommand, pauseCommand, resumeCommand,
	bindCommand, unbindCommand, bindingsCommand,
	sendCommand, publishCommand, receiveCommand, peekCommand, tailCommand, purgeCommand,
	rescueCommand, removeCommand, moveCommand,
	ackCommand, nackCommand, extendCommand, archiveCommand,
	workCommand, scheduleCommand, copyCommand, benchCommand, uiCommand, exportCommand,
	checkCommand, doctorCommand, installCommand,
	contextCommand, versionCommand,
}
