// Command testsum runs the tests of one or more modules and says what came
// of it in one line.
//
//	testsum [-skips file] [-secrets regexp] [-slowest n] [-args "go test flags"] dir...
//
// It prints a line for each package, the whole output of each test that
// failed, and how long it took. It exits with 1 if a test or a build failed,
// if a test was skipped that the skips file does not allow, if a test or what it
// runs printed one of the secrets, or if no test ran.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	skips := flag.String("skips", "", "file of regular expressions, one a line, of the tests that may be skipped")
	secrets := flag.String("secrets", "", "regular expression of what no test may print, such as the passwords that tests use")
	args := flag.String("args", "", "further arguments of go test")
	slowest := flag.Int("slowest", 0, "how many of the slowest tests to list")
	flag.Parse()

	heedSignals()
	start := time.Now()
	s := newSummary(os.Stdout)
	if *secrets != "" {
		s.secrets = regexp.MustCompile(*secrets)
	}
	if err := run(s, *skips, *args, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	s.list(*slowest)
	fmt.Printf("in %s, load average %s\n", time.Since(start).Round(time.Second), load())
	if !s.close() {
		os.Exit(1)
	}
}

// heedSignals keeps the tests from inheriting what nohup and shells do to jobs in the
// background: the programs that they run would ignore the signals that are to end them.
func heedSignals() {
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// load returns the load average of the machine, where it can be had.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(append(strings.Fields(string(text)), "unknown")[:1], "")
}

func run(s *summary, skips, args string, dirs []string) error {
	if skips != "" {
		text, err := os.ReadFile(skips)
		if err != nil {
			return err
		}
		if err := s.allow(string(text)); err != nil {
			return err
		}
	}
	for _, r := range runs(dirs) {
		if err := test(s, r, strings.Fields(args)); err != nil {
			return err
		}
	}
	return nil
}

// goRun is one go test.
type goRun struct {
	dir      string
	patterns []string
}

// runs returns what runs the tests of the modules in dirs: those of the workspace that
// we are in together, so that one is built while another one waits, and those with a
// go.work of their own, where the patterns of ours would not find them, alone.
func runs(dirs []string) (all []goRun) {
	ours := goRun{dir: "."}
	for _, dir := range dirs {
		dir = filepath.Clean(dir)
		if _, err := os.Stat(filepath.Join(dir, "go.work")); dir != "." && err == nil {
			all = append(all, goRun{dir, []string{"./..."}})
			continue
		}
		ours.patterns = append(ours.patterns, "./"+filepath.ToSlash(filepath.Join(dir, "...")))
	}
	if len(ours.patterns) > 0 {
		all = append([]goRun{ours}, all...)
	}
	return all
}

// test runs one go test.
func test(s *summary, r goRun, args []string) error {
	cmd := exec.Command("go", slices.Concat([]string{"test", "-json"}, args, r.patterns)...)
	cmd.Dir = r.dir
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	failed := s.failed
	if err := s.read(out); err != nil {
		return fmt.Errorf("%s: %w", r.patterns, err)
	}
	// go test can fail without an event, for one if the module does not load.
	if err := cmd.Wait(); err != nil && s.failed == failed {
		return fmt.Errorf("go test %s in %s: %w", r.patterns, r.dir, err)
	}
	return nil
}

// event is one line of go test -json.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64 // seconds
}

func (e event) name() string {
	if e.Test == "" {
		return e.Package
	}
	return e.Package + "." + e.Test
}

type summary struct {
	w                       io.Writer
	allowed, reasons        []*regexp.Regexp // skips
	passed, failed, skipped int
	unexpected              []string
	secrets                 *regexp.Regexp              // or nil
	told                    map[string]string           // lines with secrets, by test
	output                  map[string]*strings.Builder // of what has not ended yet
	running                 map[string]bool
	shuffle                 map[string]string // by package: how to repeat the order
	parents                 map[string]bool   // tests that have subtests
	broken                  map[string]bool   // packages and tests in which a failure is counted
	times                   []event           // the ends of tests without subtests
}

func newSummary(w io.Writer) *summary {
	return &summary{
		w:       w,
		output:  map[string]*strings.Builder{},
		running: map[string]bool{},
		shuffle: map[string]string{},
		parents: map[string]bool{},
		broken:  map[string]bool{},
		told:    map[string]string{},
	}
}

// allow reads the skips file. Blank lines, and what follows a #, are comments.
// An expression matches the name of a test or, after "reason: ", what it printed.
func (s *summary) allow(text string) error {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		reason, isReason := strings.CutPrefix(line, "reason: ")
		if !isReason {
			reason = "^(?:" + line + ")$"
		}
		re, err := regexp.Compile(reason)
		if err != nil {
			return err
		}
		if isReason {
			s.reasons = append(s.reasons, re)
		} else {
			s.allowed = append(s.allowed, re)
		}
	}
	return nil
}

func (s *summary) read(r io.Reader) error {
	dec := json.NewDecoder(r)
	for {
		var e event
		if err := dec.Decode(&e); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		s.event(e)
	}
}

func (s *summary) event(e event) {
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.w, e.Output)
	case "run":
		s.running[e.name()] = true
	case "output":
		if s.secrets != nil && s.secrets.MatchString(e.Output) {
			s.told[e.name()] = e.Output
		}
		if e.Test == "" {
			s.packageOutput(e)
			return
		}
		b := s.output[e.name()]
		if b == nil {
			b = new(strings.Builder)
			s.output[e.name()] = b
		}
		b.WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
		} else {
			s.endTest(e)
		}
	}
}

// packageOutput passes on what a package prints outside its tests, without
// the lines that say no more than the package line.
func (s *summary) packageOutput(e event) {
	switch {
	case e.Output == "PASS\n", e.Output == "FAIL\n":
	case strings.HasPrefix(e.Output, "-test.shuffle "):
		s.shuffle[e.Package] = e.Output
	default:
		fmt.Fprint(s.w, e.Output)
	}
}

// endTest counts a test. One that has subtests counts only if it failed or
// was skipped by itself.
func (s *summary) endTest(e event) {
	name := e.name()
	if !s.parents[name] {
		s.times = append(s.times, e)
	}
	switch {
	case e.Action == "pass" && !s.parents[name]:
		s.passed++
	case e.Action == "skip":
		s.skip(name)
	case e.Action == "fail":
		if !s.broken[name] {
			s.failed++
		}
		s.broken[e.Package] = true
		s.print(name)
	}
	for i, r := range e.Test {
		if r == '/' {
			parent := e.Package + "." + e.Test[:i]
			s.parents[parent] = true
			s.broken[parent] = s.broken[parent] || e.Action == "fail"
		}
	}
	delete(s.output, name)
	delete(s.running, name)
}

func (s *summary) skip(name string) {
	s.skipped++
	printed := ""
	if b := s.output[name]; b != nil {
		printed = b.String()
	}
	if matches(s.allowed, name) || matches(s.reasons, printed) {
		return
	}
	s.unexpected = append(s.unexpected, name)
	s.print(name)
}

func matches(res []*regexp.Regexp, text string) bool {
	return slices.ContainsFunc(res, func(re *regexp.Regexp) bool { return re.MatchString(text) })
}

// endPackage counts a failure that no test showed: one in the build or in
// TestMain, or a crash in the middle of a test.
func (s *summary) endPackage(e event) {
	if e.Action != "fail" {
		return
	}
	fmt.Fprint(s.w, s.shuffle[e.Package])
	for name := range s.running {
		if strings.HasPrefix(name, e.Package+".") {
			s.print(name)
			delete(s.running, name)
			delete(s.output, name)
		}
	}
	if !s.broken[e.Package] {
		s.failed++
	}
}

func (s *summary) print(name string) {
	fmt.Fprintf(s.w, "%s\n", name)
	if b := s.output[name]; b != nil {
		fmt.Fprint(s.w, b.String())
	}
}

// list prints the slowest tests.
func (s *summary) list(n int) {
	slices.SortStableFunc(s.times, func(a, b event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	for _, e := range s.times[:min(n, len(s.times))] {
		fmt.Fprintf(s.w, "%8.2fs  %s\n", e.Elapsed, e.name())
	}
}

// close prints the totals and reports whether all is well.
func (s *summary) close() bool {
	for _, name := range s.unexpected {
		fmt.Fprintf(s.w, "skipped, and not allowed to be: %s\n", name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.told)) {
		fmt.Fprintf(s.w, "a secret was printed: %s: %s", name, s.told[name])
	}
	if s.passed == 0 {
		fmt.Fprintln(s.w, "no test ran")
	}
	fmt.Fprintf(s.w, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	return s.failed == 0 && len(s.unexpected) == 0 && len(s.told) == 0 && s.passed > 0
}
