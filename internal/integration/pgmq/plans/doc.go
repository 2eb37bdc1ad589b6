// Package plans looks at how PostgreSQL carries out the statements of
// drivers/pgmq.
package plans
