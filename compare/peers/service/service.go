// Package service is what the programs of both peers have in common: their start and end, the
// connection, the stream, answers that say no, and questions that wait.
package service

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"journey-mesh.example/peers/shop"
)

// Stream and Subject are those of the order service's events.
const (
	Stream  = "ORDER"
	Subject = "evt.order."
)

// Options are the flags of each program.
type Options struct {
	Name, Server, DataDir string
}

// Database is the path of the service's file.
func (o *Options) Database() string { return filepath.Join(o.DataDir, o.Name+".db") }

// Main runs a service until SIGINT or SIGTERM.
func Main(name string, run func(context.Context, *Options) error) {
	o := &Options{Name: name}
	flag.StringVar(&o.Server, "server", nats.DefaultURL, "the NATS server")
	flag.StringVar(&o.DataDir, "data-dir", ".", "the folder of the database")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := os.MkdirAll(o.DataDir, 0o700)
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		log.Fatalf("%s: %v", name, err)
	}
}

// Connect reconnects for ever, as a service has to.
func Connect(o *Options) (*nats.Conn, error) {
	return nats.Connect(o.Server, nats.Name(o.Name), nats.MaxReconnects(-1),
		nats.ReconnectWait(100*time.Millisecond), nats.RetryOnFailedConnect(true))
}

// MakeStream makes the stream of events where it is not there.
func MakeStream(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: Stream, Subjects: []string{Subject + ">"}, Storage: jetstream.FileStorage})
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", Stream, err)
	}
	return stream, nil
}

// Serve makes one endpoint; it is subscribed when Serve returns.
func Serve(nc *nats.Conn, o *Options, subject string, handle func(micro.Request)) (micro.Service,
	error) {
	svc, err := micro.AddService(nc, micro.Config{Name: o.Name, Version: "1.0.0"})
	if err != nil {
		return nil, err
	}
	if err := svc.AddEndpoint(o.Name, micro.HandlerFunc(handle),
		micro.WithEndpointSubject(subject)); err != nil {
		return nil, err
	}
	if err := nc.Flush(); err != nil {
		return nil, err
	}
	log.Print("ready")
	return svc, nil
}

// Answer sends the reply, or says why there is none. Failures are logged; the customer is not told
// their text.
func Answer(r micro.Request, reply []byte, err error) {
	var refusal *shop.Refusal
	if err == nil {
		err = r.Respond(reply)
	} else {
		if !errors.As(err, &refusal) {
			log.Printf("%s: %v", r.Subject(), err)
			refusal = &shop.Refusal{Code: "internal", Message: "the service has failed"}
		}
		err = r.Error(refusal.Code, refusal.Message, refusalBody(refusal))
	}
	if err != nil {
		log.Printf("%s: no answer was sent: %v", r.Subject(), err)
	}
}

func refusalBody(refusal *shop.Refusal) []byte {
	body, err := json.Marshal(map[string]any{
		"error": map[string]string{"code": refusal.Code, "message": refusal.Message}})
	if err != nil { // strings can be encoded
		panic(err)
	}
	return body
}

// Parse decodes a request; what it cannot decode it refuses.
func Parse(r micro.Request, to any) error {
	if err := json.Unmarshal(r.Data(), to); err != nil {
		return &shop.Refusal{Code: "invalid_request", Message: err.Error()}
	}
	return nil
}
