// Peers runs one of the servers that the fan-out benchmark compares the gateway with.
//
//	peers nats|centrifuge
//
// It prints its addresses as a line of JSON, and ends when its standard input does. GOGC keeps its
// default, and GOMAXPROCS is what the runtime makes of the cores that the process may use.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// addresses are those that a server listens at, as HOST:PORT.
type addresses struct {
	WebSocket string `json:"websocket"`
	TCP       string `json:"tcp,omitempty"`
}

func announce(bound addresses) error {
	return json.NewEncoder(os.Stdout).Encode(bound)
}

func main() {
	servers := map[string]func() error{"nats": serveNATS, "centrifuge": serveCentrifuge}
	var serve func() error
	if len(os.Args) == 2 {
		serve = servers[os.Args[1]]
	}
	if serve == nil {
		fmt.Fprintln(os.Stderr, "usage: peers nats|centrifuge")
		os.Exit(2)
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}
