package drivertest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	KillChild()
	os.Exit(m.Run())
}

func TestKillJudges(t *testing.T) {
	for _, tt := range []struct {
		name, said, left string
		want             string // in the failure, "" for none
	}{
		{"all is well", "sent a,sent b,sent c,got a,acked a,got b", "c", ""},
		{"not yet acknowledged", "sent a,got a,acked a,got b,acked b", "c", ""},
		{"lost", "sent a,sent b,got a,acked a", "", "1 acknowledged sends are lost"},
		{"came back", "sent a,got a,acked a", "a", "1 acked messages came back"},
		{"acked twice", "sent a,got a,acked a,got a,acked a", "", "1 were acked twice"},
		{"nothing sent", "got a,acked a", "", "nothing is proven"},
		{"nothing acked", "sent a", "a", "nothing is proven"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newKillLedger()
			for line := range strings.SplitSeq(tt.said, ",") {
				l.note(line)
			}
			left := make(map[string]bool)
			for body := range strings.SplitSeq(tt.left, ",") {
				left[body] = body != ""
			}
			failures := record(t.Context(), tt.name, func(tb testing.TB) { l.judge(tb, left) })
			if got := strings.Join(failures, "\n"); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("failures %q, want %q", got, tt.want)
			}
		})
	}
}

// TestKillChildIsRun has the process of a test be a child that cannot open its DSN.
func TestKillChildIsRun(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run=^$")
	cmd.Env = append(cmd.Environ(), killDSN+"=nosuchdriver://")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "nosuchdriver") {
		t.Errorf("the child ended with %v and %s", err, out)
	}
}
