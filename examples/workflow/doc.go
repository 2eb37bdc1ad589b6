// Package workflow runs a graph of steps over queues. An orchestrator and its
// workers share nothing but queues: not a variable, not a connection.
//
// The graph counts the words of the text files in a folder:
//
//	split ──┬── count ──┬── merge
//	        ├── count ──┤
//	        └── count ──┘
//
// [TaskRequestMessage] asks for it. The [Orchestrator] sends a [StepMessage]
// for each step that can be done, to the queue of its namespace. A [Worker]
// answers with a [StepExecutionResult], and when nothing is left to do the
// orchestrator sends a [TaskFinalizationMessage]. Messages name files and never
// carry their contents.
//
// Everybody must expect each message more than once. A worker does the step
// again, and its files come out the same. The orchestrator keeps note of the
// steps and passes over a result that it knows.
//
// A step that fails for a passing reason is sent again, with the next attempt;
// one that fails for good, or too often, ends as failed, and the task goes on
// with what is left.
//
// The state of the tasks is in the orchestrator's memory. One that is to
// survive its process keeps it in a database, and acks in the transaction that
// changes it: see mq.Delivery.AckTx.
package workflow
