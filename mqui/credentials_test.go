package mqui

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const someCredentials = "# who may\nalice:correct horse:x\n\n  t0ken-t0ken-t0ken \n"

// TestCredentialsMark: the mark at the beginning of a file is no part of a name.
func TestCredentialsMark(t *testing.T) {
	c, err := ParseCredentials("\ufeffalice:correct horse\r\n")
	ok(t, err)
	if user, right := c.match("basic alice:correct horse"); user != "alice" || !right {
		t.Errorf("the user is %q, %v", user, right)
	}
}

// door is a handler behind Protect, which answers with the user's name.
func door(t *testing.T) http.Handler {
	t.Helper()
	c, err := ParseCredentials(someCredentials)
	ok(t, err)
	return Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, CredentialUser(r)) }), c)
}

func knock(t *testing.T, h http.Handler, remote string, set func(*http.Request)) *httptest.ResponseRecorder {
	r := request(t.Context(), "GET", "/", nil)
	r.RemoteAddr = remote + ":1"
	set(r)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func basic(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func bearer(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", value) }
}

func TestProtect(t *testing.T) {
	for i, c := range []struct {
		set  func(*http.Request)
		want int
	}{
		{basic("alice", "correct horse:x"), 200},
		{bearer("Bearer t0ken-t0ken-t0ken"), 200},
		{bearer("bearer t0ken-t0ken-t0ken"), 200},
		{basic("alice", "correct horse"), 401},
		{basic("Alice", "correct horse:x"), 401},
		{basic("", "t0ken-t0ken-t0ken"), 401},
		{basic("t0ken-t0ken-t0ken", ""), 401},
		{bearer("Bearer alice:correct horse:x"), 401},
		{bearer("Bearer "), 401},
		{bearer("Basic !"), 401},
		{bearer("# who may"), 401},
		{func(*http.Request) {}, 401},
	} {
		w := knock(t, door(t), "192.0.2.1", c.set)
		equal(t, fmt.Sprint("case ", i), w.Code, c.want)
		if c.want == 401 {
			equal(t, "challenges", len(w.Header().Values("WWW-Authenticate")), 2)
			equal(t, "policy", w.Header().Get("Content-Security-Policy"), policy)
		}
	}
	equal(t, "user", knock(t, door(t), "192.0.2.1", basic("alice", "correct horse:x")).Body.String(), "alice")
	equal(t, "token", knock(t, door(t), "192.0.2.1", bearer("Bearer t0ken-t0ken-t0ken")).Body.String()[:6], "token-")
}

// TestProtectSlowsDown measures how often a password can be guessed, by one after the
// other and by many at a time.
func TestProtectSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := door(t)
		var tried atomic.Int64
		var wg sync.WaitGroup
		end := time.Now().Add(time.Minute)
		for i := range 100 {
			wg.Go(func() {
				for time.Now().Before(end) {
					if knock(t, h, "192.0.2.1", basic("alice", fmt.Sprint("guess ", i))).Code == 401 {
						tried.Add(1)
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		// Others come in at once meanwhile: from elsewhere, and from there with another
		// credential.
		for range 50 {
			time.Sleep(time.Second)
			begin := time.Now()
			equal(t, "another address", knock(t, h, "192.0.2.2", basic("alice", "correct horse:x")).Code, 200)
			equal(t, "another credential", knock(t, h, "192.0.2.1", bearer("Bearer t0ken-t0ken-t0ken")).Code, 200)
			if d := time.Since(begin); d > 0 {
				t.Fatalf("a right credential waited for %v", d)
			}
		}
		wg.Wait()
		if n := tried.Load(); n < 5 || n > 25 {
			t.Errorf("%d guesses in a minute", n)
		}
		time.Sleep(longestDelay)
		equal(t, "in the end", knock(t, h, "192.0.2.1", basic("alice", "correct horse:x")).Code, 200)
	})
}

func TestProtectWaitsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := door(t)
		for range 20 {
			begin := time.Now()
			knock(t, h, "192.0.2.1", basic("alice", "wrong"))
			if d := time.Since(begin); d > longestDelay {
				t.Errorf("a mistake took %v", d)
			}
		}
	})
}

func TestSlowdownIsBounded(t *testing.T) {
	var s slowdown
	for i := range 3 * maxAttempts {
		s.fail(attempt{byte(i), byte(i >> 8)})
	}
	if len(s.keys) > maxAttempts {
		t.Errorf("%d attempts are remembered", len(s.keys))
	}
}

func TestCredentials(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "# nothing\n": false, "alice:short": false, ":password1": false, "short": false, "alice:": false,
		"alice:password1": true, "long-enough": true, "alice:password1\nbob:short": false,
	} {
		_, err := ParseCredentials(text)
		equal(t, text, err == nil, want)
		if err != nil {
			lacks(t, err.Error(), "short", "password1")
		}
	}
	file := filepath.Join(t.TempDir(), "credentials")
	ok(t, os.WriteFile(file, []byte(someCredentials), 0o600))
	c, err := CredentialsFile(file)
	ok(t, err)
	equal(t, "credentials", len(c.all), 2)
	t.Setenv("MQ_TEST_UI_CREDENTIALS", "alice:password1")
	_, err = CredentialsEnv("MQ_TEST_UI_CREDENTIALS")
	ok(t, err)
	for _, err := range []error{second(CredentialsEnv("MQ_TEST_NOT_SET")), second(CredentialsFile(file + "x"))} {
		if err == nil {
			t.Error("no credentials, and no error")
		}
	}
}

func second(_ *Credentials, err error) error { return err }
