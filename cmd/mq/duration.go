package main

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// duration is a flag that takes days too.
type duration time.Duration

func (d *duration) Set(text string) error {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return errors.New("give a time as in 90m, 12h or 30d")
		}
		*d = duration(n) * duration(24*time.Hour)
		return nil
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return errors.New("give a time as in 90m, 12h or 30d")
	}
	*d = duration(v)
	return nil
}

func (d *duration) Type() string { return "time" }

func (d *duration) String() string { return time.Duration(*d).String() }

func (d *duration) duration() time.Duration { return time.Duration(*d) }
