//go:build ignore

// Gen writes the default input of the example: 2,000 lines with orders of 40
// customers. It is deterministic.
package main

import (
	"bytes"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
)

const lines, customers = 2000, 40

// malformed are lines as they come out of broken senders.
var malformed = []string{
	`{"id":%d,"customer":"c07","item":"tea","cents":12`,
	`{"id":%d,"customer":"c11","item":"cof`,
	`{"id":%d,"customer":`,
	`{"id":%d,"customer":"c31","item":"jam","cents":450,"bank":"steady"`,
	`{"id":"%d","customer":"c02","item":"rice","cents":990,"bank":"steady"}`,
	`{"id":%d,"customer":"c19","item":"tea","cents":"12.50","bank":"steady"}`,
	`{"id":%d,"customer":["c23","c24"],"item":"salt","cents":80,"bank":"steady"}`,
	`[%d,"c05","honey",700,"steady"]`,
	`%d;c36;oats;310;steady`,
	`<order id="%d"/>`,
	`order %d: see attachment`,
	`null and void: %d`,
}

func main() {
	var out bytes.Buffer
	r := rand.New(rand.NewPCG(1, 2))
	bad := positions(r, len(malformed))
	for id := 1; id <= lines; id++ {
		if i, ok := bad[id]; ok {
			fmt.Fprintf(&out, malformed[i]+"\n", id)
			continue
		}
		fmt.Fprintf(&out, `{"id":%d,"customer":"c%02d","item":%q,"cents":%d,"bank":%q}`+"\n",
			id, 1+r.IntN(customers), item(r), 50+10*r.IntN(500), bank(r))
	}
	if err := os.WriteFile(os.Args[1], out.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}

// positions spreads n malformed lines over the file.
func positions(r *rand.Rand, n int) map[int]int {
	at := make(map[int]int)
	for i := range n {
		at[i*lines/n+1+r.IntN(lines/n)] = i
	}
	return at
}

func item(r *rand.Rand) string {
	items := []string{"coffee", "flour", "honey", "jam", "oats", "rice", "salt", "tea"}
	return items[r.IntN(len(items))]
}

// bank picks a bank, most often one that works.
func bank(r *rand.Rand) string {
	switch n := r.IntN(1000); {
	case n < 50:
		return "flaky"
	case n < 80:
		return "strict"
	case n < 90:
		return "down"
	}
	return "steady"
}
