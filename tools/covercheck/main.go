// Command covercheck prints the statement coverage of some packages, from a
// profile that several test binaries wrote, and exits with 1 if one of them
// is below the minimum.
//
//	covercheck [-min 90] profile package...
package main

import (
	"flag"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
)

func main() {
	floor := flag.Float64("min", 90, "least coverage, in percent")
	flag.Parse()
	if flag.NArg() < 2 {
		flag.Usage()
		os.Exit(2)
	}
	text, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "covercheck:", err)
		os.Exit(1)
	}
	blocks, err := read(string(text))
	if err != nil {
		fmt.Fprintln(os.Stderr, "covercheck:", err)
		os.Exit(1)
	}
	ok := true
	for _, pkg := range flag.Args()[1:] {
		got := percent(blocks, pkg)
		verdict := "ok"
		if got < *floor {
			verdict, ok = fmt.Sprintf("below %g %%", *floor), false
		}
		fmt.Printf("%-44s %5.1f %%  %s\n", pkg, got, verdict)
	}
	if !ok {
		os.Exit(1)
	}
}

type block struct {
	pkg     string
	stmts   int
	covered bool
}

// read merges the lines of a block that different test binaries wrote. A line
// is "pkg/file.go:1.2,3.4 statements count".
func read(profile string) (map[string]block, error) {
	blocks := map[string]block{}
	for line := range strings.Lines(profile) {
		if strings.HasPrefix(line, "mode:") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("not a coverage profile: %q", line)
		}
		stmts, err := strconv.Atoi(f[1])
		if err != nil {
			return nil, err
		}
		file, _, _ := strings.Cut(f[0], ":")
		blocks[f[0]] = block{path.Dir(file), stmts, blocks[f[0]].covered || f[2] != "0"}
	}
	return blocks, nil
}

func percent(blocks map[string]block, pkg string) float64 {
	var covered, total int
	for _, b := range blocks {
		if b.pkg != pkg {
			continue
		}
		total += b.stmts
		if b.covered {
			covered += b.stmts
		}
	}
	if total == 0 {
		return 0
	}
	return 100 * float64(covered) / float64(total)
}
