package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// A Figure is one thing that a command measures with a function of type F.
type Figure[F any] struct {
	Letter  string
	Measure F
}

// Choose returns the figures whose letters are listed, all for "".
func Choose[F any](figures []Figure[F], letters string) ([]Figure[F], error) {
	if letters == "" {
		return figures, nil
	}
	var chosen []Figure[F]
	for letter := range strings.SplitSeq(letters, ",") {
		i := slices.IndexFunc(figures, func(f Figure[F]) bool { return f.Letter == letter })
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no figure %q", letter)
		}
		chosen = append(chosen, figures[i])
	}
	return chosen, nil
}

// Each runs figures one after the other until ctx ends, and says how long each
// took. One that fails does not keep the others from being measured.
func Each[F any](ctx context.Context, figures []Figure[F], run func(Figure[F]) error) error {
	var failed []error
	for _, f := range figures {
		start := time.Now()
		if err := run(f); err != nil {
			failed = append(failed, fmt.Errorf("figure %s: %w", f.Letter, err))
		}
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(os.Stderr, "figure %s took %v\n", f.Letter, time.Since(start).Round(time.Second))
	}
	return errors.Join(failed...)
}
