package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/centrifugal/centrifuge"
)

// everybody is the channel of events for all clients.
const everybody = "all"

// serveCentrifuge runs a node with the broker in memory and the WebSocket handler, and publishes the
// lines of standard input: to everybody, or, behind a channel and a space, to that channel.
//
// The settings are those that the documentation names for many connections: no compression, pooled
// write buffers, no log, no presence, no history, and no limit of messages in a frame. WriteDelay,
// which saves system calls by making each client wait, stays off: latency is compared, too. A client
// that is behind has all that waits for it in one frame without it.
func serveCentrifuge() error {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelNone})
	if err != nil {
		return err
	}
	node.OnConnecting(func(_ context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		subscriptions := make(map[string]centrifuge.SubscribeOptions, len(e.Channels))
		for _, channel := range e.Channels {
			subscriptions[channel] = centrifuge.SubscribeOptions{}
		}
		return centrifuge.ConnectReply{
			Credentials:        &centrifuge.Credentials{},
			Subscriptions:      subscriptions,
			MaxMessagesInFrame: -1,
		}, nil
	})
	if err := node.Run(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/connection", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		UseWriteBufferPool: true,
	}))
	go func() { _ = http.Serve(listener, mux) }()
	if err := announce(addresses{WebSocket: listener.Addr().String()}); err != nil {
		return err
	}
	return publishLines(node, os.Stdin)
}

func publishLines(node *centrifuge.Node, input io.Reader) error {
	lines := bufio.NewReaderSize(input, 64<<10)
	for {
		// The node keeps the bytes: each line has memory of its own.
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		channel, event := everybody, line[:len(line)-1]
		if event[0] != '{' {
			own, rest, _ := bytes.Cut(event, []byte{' '})
			channel, event = string(own), rest
		}
		if _, err := node.Publish(channel, event); err != nil {
			return err
		}
	}
}
