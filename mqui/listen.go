package mqui

import (
	"fmt"
	"net"
)

// CheckListen refuses an address that other machines can reach, such as ":8080", unless
// requests need credentials. It resolves no names: the only name that it accepts without
// credentials is localhost.
func CheckListen(addr string, hasCredentials bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("mqui: %q is not an address to listen on (give it as host:port)", addr)
	}
	if hasCredentials || isLoopback(host) {
		return nil
	}
	return fmt.Errorf("mqui: %q may be reached from other machines: that needs credentials (or listen on 127.0.0.1)", addr)
}
