package rabbitstub

import (
	"strconv"
	"strings"

	"github.com/portmq/mq/driver"
)

// receipt names a lease: by the queue, the client and the number that the
// broker has given it, which no other lease ever gets.
func (p *Provider) receipt(queue string, lease uint64) driver.Receipt {
	return driver.Receipt(queue + "/" + p.id + "/" + strconv.FormatUint(lease, 10))
}

// find returns the message that r has leased. A lease that is not there any
// more was settled, timed out, or lost with the connection.
func (p *Provider) find(queue string, r driver.Receipt) (*message, error) {
	lease, err := p.own(queue, r)
	if err != nil {
		return nil, err
	}
	m := p.leases[lease]
	if m == nil || m.settling {
		return nil, driver.ErrStaleReceipt
	}
	return m, nil
}

// own returns the lease of a receipt that was made on this connection, and of a
// queue that this client has not dropped since.
func (p *Provider) own(queue string, r driver.Receipt) (uint64, error) {
	client, lease, ok := parse(queue, r)
	switch {
	case !ok:
		return 0, driver.ErrInvalidReceipt
	case client != p.id || lease <= p.lost || lease <= p.dropped[queue]:
		return 0, driver.ErrStaleReceipt
	}
	return lease, nil
}

// parse is strict: no two texts are one receipt.
func parse(queue string, r driver.Receipt) (client string, lease uint64, ok bool) {
	rest, ok := strings.CutPrefix(string(r), queue+"/")
	if !ok {
		return "", 0, false
	}
	client, number, _ := strings.Cut(rest, "/")
	lease, err := strconv.ParseUint(number, 10, 64)
	if err != nil || !isID(client) || strconv.FormatUint(lease, 10) != number {
		return "", 0, false
	}
	return client, lease, true
}

// isID reports whether s has the form of Provider.id.
func isID(s string) bool {
	return len(s) == 26 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
