package mqui

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// minSecret is how long a password or a token is at least.
const minSecret = 8

// Credentials are the names with passwords, and the tokens, that requests may present.
// Only hashes are kept. They are safe for concurrent use.
type Credentials struct {
	all  []credential
	slow slowdown
}

type credential struct {
	sum  [sha256.Size]byte // of the header's value as it must be
	user string
}

// ParseCredentials reads one credential per line: "user:password" for basic authentication,
// or a token, which has no colon, for "Authorization: Bearer". Empty lines and lines that
// begin with # are ignored. A password or token must have at least 8 bytes.
func ParseCredentials(text string) (*Credentials, error) {
	c := &Credentials{}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) { // some editors begin a file with a mark
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := c.add(line); err != nil {
			return nil, fmt.Errorf("mqui: credentials, line %d: %w", n, err)
		}
	}
	if len(c.all) == 0 {
		return nil, errors.New("mqui: there are no credentials (one per line: user:password, or a token)")
	}
	return c, nil
}

func (c *Credentials) add(line string) error {
	user, password, basic := strings.Cut(line, ":")
	switch {
	case basic && user == "":
		return errors.New("the user name is empty")
	case basic && len(password) < minSecret:
		return fmt.Errorf("the password has fewer than %d bytes", minSecret)
	case basic:
		c.all = append(c.all, credential{sha256.Sum256([]byte("basic " + line)), user})
		return nil
	case len(line) < minSecret:
		return fmt.Errorf("the token has fewer than %d bytes", minSecret)
	}
	sum := sha256.Sum256([]byte("bearer " + line))
	c.all = append(c.all, credential{sum, "token-" + hex.EncodeToString(sum[:4])})
	return nil
}

// CredentialsFile reads credentials from a file. Its errors show nothing of the content.
func CredentialsFile(name string) (*Credentials, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("mqui: credentials: %w", err)
	}
	return ParseCredentials(string(text))
}

// CredentialsEnv reads credentials from an environment variable.
func CredentialsEnv(name string) (*Credentials, error) {
	text, ok := os.LookupEnv(name)
	if !ok {
		return nil, fmt.Errorf("mqui: credentials: %s is not set", name)
	}
	return ParseCredentials(text)
}

// match returns whose credential it is. It takes the same time whichever one matches, and
// if none does.
func (c *Credentials) match(presented string) (user string, ok bool) {
	sum := sha256.Sum256([]byte(presented))
	for _, known := range c.all {
		if subtle.ConstantTimeCompare(sum[:], known.sum[:]) == 1 {
			user, ok = known.user, true
		}
	}
	return user, ok
}

// presented returns the credential of a request, and the name that it claims.
func presented(r *http.Request) (text, claims string, ok bool) {
	if user, password, ok := r.BasicAuth(); ok {
		return "basic " + user + ":" + password, user, true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && token != "" {
		return "bearer " + strings.TrimSpace(token), "", true
	}
	return "", "", false
}

type credentialUser struct{}

// CredentialUser returns the name of the credential with which a request has passed
// Protect: the user, or "token-" and a part of the hash for a token. It returns "" without
// Protect.
func CredentialUser(r *http.Request) string {
	user, _ := r.Context().Value(credentialUser{}).(string)
	return user
}

// Protect passes requests that present one of c to h, and answers others with 401. After a
// wrong credential the next request from the same address and user name waits, longer with
// each failure, up to 5 seconds. Only a few wait at a time; others are answered with 429.
func Protect(h http.Handler, c *Credentials) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, claims, given := presented(r)
		if !given {
			unauthorized(w)
			return
		}
		user, verdict := c.slow.try(r.Context(), attemptKey(r, claims), func() (string, bool) { return c.match(text) })
		switch verdict {
		case credentialRight:
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), credentialUser{}, user)))
		case credentialWrong:
			unauthorized(w)
		default:
			secureHeaders(w.Header())
			w.Header().Set("Retry-After", "5")
			http.Error(w, "too many attempts", http.StatusTooManyRequests)
		}
	})
}

func unauthorized(w http.ResponseWriter) {
	secureHeaders(w.Header())
	w.Header().Add("WWW-Authenticate", `Basic realm="mq", charset="UTF-8"`)
	w.Header().Add("WWW-Authenticate", `Bearer realm="mq"`)
	http.Error(w, "unauthorized", http.StatusUnauthorized)
}
