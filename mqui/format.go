package mqui

import (
	"fmt"
	"html/template"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// printable escapes whatever a page might show as something else, or not at all: control
// characters, marks that change the direction of text, bytes that are not UTF-8. Markup is left to html/template.
func printable(s string) string { return escaped(s, "") }

// printableLines is printable for a text of several lines.
func printableLines(s string) string { return escaped(s, "\n\t") }

func escaped(s, allowed string) string {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) && !strings.ContainsRune(allowed, r) }
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r != utf8.RuneError && hidden(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// cut shortens a text to n characters.
func cut(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i] + "…"
		}
	}
	return s
}

// secret is what stands between the scheme and the host of a DSN.
var secret = regexp.MustCompile(`://[^\s/"']*@`)

// errorText shows an error. Those of mq contain no password; those of a program might.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return cut(printable(secret.ReplaceAllString(err.Error(), "://…@")), 500)
}

// number shows a figure with separators, "-" if it is not known.
func number(n int64) string {
	if n < 0 {
		return "-"
	}
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural shows a number of things.
func plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return number(n) + " " + thing + "s"
}

// perSecond shows a rate.
func perSecond(f float32) string {
	switch {
	case !known(f):
		return "-"
	case f == 0:
		return "0"
	case f < 0.1:
		return "<0.1"
	case f < 100:
		return strconv.FormatFloat(float64(f), 'f', 1, 32)
	}
	return number(int64(math.Round(float64(f))))
}

// duration shows the two leading units of a time, "-" if it is not known.
func duration(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(d, unit, below time.Duration, format string) string {
		return fmt.Sprintf(format, d/unit, d%unit/below)
	}
	switch {
	case d < 0:
		return "-"
	case d < time.Millisecond:
		return "0"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < time.Minute:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	case d < time.Hour:
		return two(d, time.Minute, time.Second, "%dm%02ds")
	case d < day:
		return two(d, time.Hour, time.Minute, "%dh%02dm")
	}
	return two(d, day, time.Hour, "%dd%02dh")
}

// moment shows a time to the second.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// ago shows how far a time is from now, on either side.
func ago(t time.Time) string {
	switch d := time.Since(t); {
	case t.IsZero():
		return "-"
	case d < -time.Second:
		return "in " + duration(-d)
	case d < time.Second:
		return "now"
	default:
		return duration(d) + " ago"
	}
}

// parseDuration is time.ParseDuration, with days.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n <= 36500 {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration such as 90s, 10m, 2h or 3d", cut(printable(s), 40))
	}
	return d, nil
}

// faint plays down a figure that is zero or unknown.
func faint(figure string) template.HTML {
	if figure == "0" || figure == "-" {
		return template.HTML("<i>" + figure + "</i>")
	}
	return template.HTML(template.HTMLEscapeString(figure))
}
