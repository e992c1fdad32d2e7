// Package events says what a message of a leader's stream says, and what it is for a reader.
//
// These are the rules of docs/PROTOCOL.md, without any I/O: M of messages and C of the canonical form
// and the chain here, R of readers in fit.go. events_test.go holds this package to schemas/vectors.
package events

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Leader is who publishes a log: ORDER, order-svc, order.
type Leader struct{ Log, Service, Prefix string }

// Event is one of a log; the names in JSON are those of `.events`.
type Event struct {
	Log, ID, Type, Entity, Data                string
	Position                                   int64
	TimeMs                                     int64 `json:"time_ms"`
	Correlation, Causation, Cause, Traceparent *string
	CauseDigest                                *string `json:"cause_digest"`
	Chain                                      string
	Term                                       int64 `json:"-"` // as its message says; 0: it says none
}

// Header is a header of a message, as it was sent.
type Header struct{ Key, Value string }

// Stranger is a message that is no event of the leader; it says which header is wrong.
type Stranger struct{ Header string }

func (s Stranger) Error() string { return s.Header }

var needed = []string{"ce-id", "ce-specversion", "ce-source", "ce-type", "ce-subject", "ce-time",
	"ce-datacontenttype", "journey-position", "journey-chain"}
var known = append([]string{"ce-correlationid", "ce-causationid", "journey-cause",
	"journey-cause-digest", "traceparent", "journey-term", "nats-msg-id"}, needed...)
var encoded = regexp.MustCompile(`^([!#$&-~]|%[0-9A-Fa-f]{2})+$`)
var escape = regexp.MustCompile(`%..`)
var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// digest (M5) is in hex, whichever way it came; false: it is none.
func digest(text string) (string, bool) {
	if len(text) == 64 {
		return text, hexDigest.MatchString(text)
	}
	bytes, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return hex.EncodeToString(bytes), err == nil && len(bytes) == 32
}

// plain (M3) undoes the percent-encoding; false: it is not encoded as it should be.
func plain(value string) (string, bool) {
	if !encoded.MatchString(value) {
		return "", false
	}
	text := escape.ReplaceAllStringFunc(value, func(code string) string {
		one, _ := hex.DecodeString(code[1:])
		return string(one)
	})
	return text, utf8.ValidString(text) && !strings.Contains(text, "\x00")
}

func readHeaders(headers []Header) (map[string]string, error) {
	values := map[string]string{}
	for _, header := range headers {
		key := strings.ToLower(header.Key) // M2: any case
		for _, name := range known {
			if name != key {
				continue
			}
			text, ok := plain(header.Value)
			if _, twice := values[key]; twice || !ok {
				return nil, Stranger{key}
			}
			values[key] = text
		}
	}
	for _, key := range needed {
		if values[key] == "" {
			return nil, Stranger{key}
		}
	}
	return values, nil
}

// number (M5) has one spelling; 0: it is none.
func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil || value < 1 || strconv.FormatInt(value, 10) != text {
		return 0
	}
	return value
}

// Decode reads the event of a message, or says Stranger.
func Decode(leader Leader, subject string, headers []Header, data string) (Event, error) {
	h, err := readHeaders(headers)
	if err != nil {
		return Event{}, err
	}
	kind, ours := strings.CutPrefix(subject, "evt."+leader.Prefix+".") // M4
	typed := leader.Prefix + "." + kind
	if !strings.Contains(kind, ".") {
		typed += ".v1"
	}
	const layout = "2006-01-02T15:04:05.000Z"
	at, err := time.Parse(layout, h["ce-time"])
	chain, isChain := digest(h["journey-chain"])
	cause, isCause := digest(h["journey-cause-digest"])
	if _, there := h["journey-cause-digest"]; there {
		h["journey-cause-digest"] = cause
		if _, there := h["journey-cause"]; !there { // M8
			isCause = isCause && h["ce-causationid"] != ""
			h["journey-cause"] = "request/" + h["ce-causationid"]
		}
	}
	optional := func(key string) *string {
		if value, there := h[key]; there {
			return &value
		}
		return nil
	}
	event := Event{Log: leader.Log, Position: number(h["journey-position"]), ID: h["ce-id"],
		Type: kind, Entity: h["ce-subject"], TimeMs: at.UnixMilli(), Data: data,
		Chain: chain, Correlation: optional("ce-correlationid"),
		Causation: optional("ce-causationid"), Cause: optional("journey-cause"),
		CauseDigest: optional("journey-cause-digest"), Traceparent: optional("traceparent"),
		Term: number(h["journey-term"])}
	_, saysTerm := h["journey-term"]
	for _, rule := range []struct {
		header string
		holds  bool
	}{
		{"subject", ours && kind != ""},
		{"ce-specversion", h["ce-specversion"] == "1.0"},
		{"ce-datacontenttype", h["ce-datacontenttype"] == "application/json"},
		{"ce-source", h["ce-source"] == "/"+leader.Service},
		{"ce-type", h["ce-type"] == typed},
		{"nats-msg-id", h["nats-msg-id"] == "" || h["nats-msg-id"] == h["ce-id"]}, // M9
		{"journey-position", event.Position > 0},
		{"journey-term", event.Term > 0 || !saysTerm},
		{"ce-time", err == nil && at.Format(layout) == h["ce-time"]},
		{"journey-chain", isChain},
		{"journey-cause-digest", event.CauseDigest == nil || isCause},
		{"data", data != "" && !strings.Contains(data, "\x00")},
	} {
		if !rule.holds {
			return Event{}, Stranger{rule.header}
		}
	}
	return event, nil
}

// Canonical is the form that is hashed (C1): each field's length and bytes.
func Canonical(e *Event) []byte {
	position, timeMs := strconv.FormatInt(e.Position, 10), strconv.FormatInt(e.TimeMs, 10)
	var form []byte
	for _, text := range []*string{&e.Log, &position, &e.ID, &e.Type, &e.Entity, &timeMs,
		e.Correlation, e.Causation, e.Cause, e.CauseDigest, e.Traceparent, &e.Data} {
		if text == nil {
			form = append(form, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		form = binary.BigEndian.AppendUint32(form, uint32(len(*text)))
		form = append(form, *text...)
	}
	return form
}

// ChainAfter is the chain behind an event (C2).
func ChainAfter(chain string, event *Event) string {
	before, _ := hex.DecodeString(chain)
	inner := sha256.Sum256(Canonical(event))
	outer := sha256.Sum256(append(before, inner[:]...))
	return hex.EncodeToString(outer[:])
}
