// Package repo tests the repository itself: what its packages link and import,
// its modules, and its documentation.
package repo

import (
	"fmt"
	"os"
	"testing"
)

// TestMain runs the tests at the root of the repository.
func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
