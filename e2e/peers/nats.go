package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// serveNATS runs a NATS server with a WebSocket listener. Events come over its TCP listener.
//
// The settings are those of the documentation for speed on a trusted network: core NATS without
// JetStream, no TLS, no compression, no authentication, neither log nor monitoring. The rest is the
// default: limits of connections and of what a slow client may have pending are far above the load.
func serveNATS() error {
	nats, err := server.NewServer(&server.Options{
		Host:   "127.0.0.1",
		Port:   server.RANDOM_PORT,
		NoLog:  true,
		NoSigs: true,
		Websocket: server.WebsocketOpts{
			Host:        "127.0.0.1",
			Port:        server.RANDOM_PORT,
			NoTLS:       true,
			Compression: false,
		},
	})
	if err != nil {
		return err
	}
	nats.Start()
	defer nats.Shutdown()
	if !nats.ReadyForConnections(10 * time.Second) {
		return errors.New("NATS does not listen")
	}
	websocket := strings.TrimPrefix(nats.WebsocketURL(), "ws://")
	err = announce(addresses{WebSocket: websocket, TCP: nats.Addr().String()})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
