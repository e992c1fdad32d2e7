// caller asks the services of a mesh, as docs/PROTOCOL.md says (Q4: rule 4 of a caller).
//
// It opens an account, orders, is refused, asks again under the same key, reads what it has
// written, and goes on ordering until an instance of order-svc has died and another leads. It
// prints what it did. NATS_URL says where the server is; in a secure mesh NATS_NKEY or NATS_CREDS is
// the file with the user's key, NATS_CA the authority's certificate, and NATS_INBOX_PREFIX where the
// user may listen (_INBOX.shop).
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// How long a try waits for its answer, at first and at most.
const tryFor, tryForMax = 250 * time.Millisecond, 4 * time.Second

type object = map[string]any

// refused is an answer that says no.
type refused struct {
	status        int
	code, message string
}

func (r *refused) Error() string { return fmt.Sprintf("%s (%d): %s", r.code, r.status, r.message) }

type caller struct {
	nc                      *nats.Conn
	noResponders, noAnswers int
}

// readReply (Q2): an answer, or a refusal, whose body says why; the status stands in a header.
func readReply(reply *nats.Msg, answer any) error {
	var refusal struct {
		Error *struct{ Code, Message string }
	}
	if err := json.Unmarshal(reply.Data, &refusal); err != nil {
		return err
	}
	if refusal.Error == nil {
		return json.Unmarshal(reply.Data, answer)
	}
	status, err := strconv.Atoi(reply.Header.Get("Nats-Service-Error-Code"))
	if err != nil {
		return err
	}
	return &refused{status, refusal.Error.Code, refusal.Error.Message}
}

// tryOnce is true when that was the answer; false: ask again.
func (c *caller) tryOnce(request *nats.Msg, wait time.Duration, answer any) (bool, error) {
	reply, err := c.nc.RequestMsg(request, wait)
	var no *refused
	switch {
	case errors.Is(err, nats.ErrNoResponders): // Q6: nobody has taken it
		c.noResponders++
		return false, nil
	case errors.Is(err, nats.ErrTimeout): // it may have happened
		c.noAnswers++
		return false, nil
	case err != nil:
		return false, err
	}
	err = readReply(reply, answer)
	if errors.As(err, &no) && no.status >= 500 {
		return false, nil // Q5: of the moment, not of the request
	}
	return true, err
}

// ask (Q4): the same bytes under the same key, again and again, until there is an answer.
func (c *caller) ask(subject string, body object, key string, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	patience, _ := strconv.Atoi(os.Getenv("JOURNEY_PATIENCE"))
	until := time.Now().Add(time.Duration(max(patience, 1)) * time.Minute)
	for wait := tryFor; time.Now().Before(until); wait = min(2*wait, tryForMax) {
		request := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
		if key != "" {
			request.Header.Set("Idempotency-Key", key)
		}
		done, err := c.tryOnce(request, wait, answer)
		if done || err != nil {
			return err
		}
		time.Sleep(wait / 5) // Q7
	}
	return fmt.Errorf("%s: no answer", subject)
}

// command (Q3): each has a key of its own.
func (c *caller) command(subject string, body object, answer any) error {
	return c.ask(subject, body, nuid.Next(), answer)
}

// must ends the program; refusal says what a request was refused with.
func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
func refusal(err error) string {
	var no *refused
	if !errors.As(err, &no) {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("%s %d", no.code, no.status)
}

// answer is what we read of all answers.
type answer struct {
	AccountID string `json:"account_id"`
	OrderID   string `json:"order_id"`
	Position  int64
	Total     struct{ Amount int64 }
	Purchases []struct{}
	AsOf      map[string]struct{ Position int64 } `json:"as_of"`
}

func (c *caller) openShop(sku string) string {
	var account, card, ignored answer
	must(c.command("account.register", object{"name": "Ada",
		"email": nuid.Next() + "@example.org", "address": object{"street": "1 Rue de la Paix",
			"city": "Paris", "postal_code": "75002", "country": "FR"}}, &account))
	must(c.command("account.add-card", object{"account_id": account.AccountID,
		"card_token": "tok_ok", "brand": "visa", "last4": "4242", "expires": "2099-12"}, &card))
	must(c.command("order.add-product", object{"sku": sku, "name": "Tea", "stock": 100000,
		"price": object{"amount": 450, "currency": "EUR"}}, &ignored))
	// Q8: order-svc keeps its own copy of accounts; this waits until the copy has the card.
	must(c.ask("order.list", object{"account_id": account.AccountID,
		"min_position": object{"ACCOUNT": card.Position}}, "", &ignored))
	fmt.Println("account", account.AccountID)
	return account.AccountID
}

func connect() (*nats.Conn, error) {
	options := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(200 * time.Millisecond)}
	if file := os.Getenv("NATS_NKEY"); file != "" {
		key, err := nats.NkeyOptionFromSeed(file)
		if err != nil {
			return nil, err
		}
		options = append(options, key)
	}
	for name, option := range map[string]func(string) nats.Option{
		"NATS_CREDS":        func(file string) nats.Option { return nats.UserCredentials(file) },
		"NATS_CA":           func(file string) nats.Option { return nats.RootCAs(file) },
		"NATS_INBOX_PREFIX": nats.CustomInboxPrefix,
	} {
		if value := os.Getenv(name); value != "" {
			options = append(options, option(value))
		}
	}
	return nats.Connect(os.Getenv("NATS_URL"), options...)
}

func main() {
	nc, err := connect()
	must(err)
	c := &caller{nc: nc}
	sku := "tea-" + nuid.Next()
	account := c.openShop(sku)
	order := func(quantity int) object {
		return object{"account_id": account, "lines": []object{{"sku": sku, "quantity": quantity}}}
	}

	var placed, again, found, owner answer
	key := nuid.Next()
	must(c.ask("order.place", order(1), key, &placed))
	fmt.Println("placed", placed.OrderID)
	fmt.Println("refused", refusal(c.command("order.place", order(1000000), &found)))
	must(c.ask("order.place", order(1), key, &again))
	fmt.Println("again", again.OrderID)
	fmt.Println("refused", refusal(c.ask("order.place", order(2), key, &found)))

	// Q8: what was written is read, here and at the other service, which has it by its own copy.
	at := object{"ORDER": placed.Position}
	must(c.ask("order.get", object{"order_id": placed.OrderID, "min_position": at}, "", &found))
	fmt.Println("read", found.OrderID, found.Total.Amount,
		found.AsOf["ORDER"].Position >= placed.Position)
	must(c.ask("account.get", object{"account_id": account, "min_position": at}, "", &owner))
	fmt.Println("purchases", len(owner.Purchases))

	fmt.Println("ready for a take-over")
	orders := 0
	for c.noResponders = 0; c.noResponders == 0 || orders < 10; orders++ {
		must(c.command("order.place", order(1), &placed))
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Printf("ordered %d, tries without a responder: %d, without an answer: %d\n", orders,
		c.noResponders, c.noAnswers)
}
