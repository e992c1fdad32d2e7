package events

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The folder with the test vectors: VECTORS, else schemas/vectors of this tree.
func read(t *testing.T, name string, into any) {
	folder := os.Getenv("VECTORS")
	if folder == "" {
		folder = "../../../../../schemas/vectors"
	}
	text, err := os.ReadFile(filepath.Join(folder, name+".json"))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type message struct {
	Subject, Data string
	Headers       [][2]string
}

func decoded(leader Leader, m message) (Event, error) {
	var headers []Header
	for _, pair := range m.Headers {
		headers = append(headers, Header{pair[0], pair[1]})
	}
	return Decode(leader, m.Subject, headers, m.Data)
}

func TestCanonicalFormAndChain(t *testing.T) {
	var file struct {
		Vectors []struct {
			What, Canonical, Chain string
			PreviousChain          string `json:"previous_chain"`
			Event                  Event
		}
	}
	read(t, "canonical", &file)
	for _, row := range file.Vectors {
		if hex.EncodeToString(Canonical(&row.Event)) != row.Canonical {
			t.Errorf("%s: another canonical form", row.What)
		}
		if ChainAfter(row.PreviousChain, &row.Event) != row.Chain {
			t.Errorf("%s: another chain", row.What)
		}
	}
	if len(file.Vectors) < 5 {
		t.Error("no vectors")
	}
}

func TestHeaders(t *testing.T) {
	var file struct {
		Leader Leader
		Read   []struct {
			What    string
			Message message
			Event   Event
			Term    int64
		}
		Refused []struct {
			What, Header string
			Message      message
		}
	}
	read(t, "headers", &file)
	for _, row := range file.Read {
		event, err := decoded(file.Leader, row.Message)
		row.Event.Term, row.Event.Chain = row.Term, event.Chain
		if err != nil || !reflect.DeepEqual(event, row.Event) {
			t.Errorf("%s: %v, %+v", row.What, err, event)
		}
	}
	for _, row := range file.Refused {
		if _, err := decoded(file.Leader, row.Message); err == nil ||
			err.Error() != strings.ToLower(row.Header) {
			t.Errorf("%s: %v", row.What, err)
		}
	}
	if len(file.Read) < 2 || len(file.Refused) < 20 {
		t.Error("no vectors")
	}
}

func TestReader(t *testing.T) {
	var file struct {
		Leader    Leader
		Scenarios []struct {
			What   string
			Cursor Cursor
			Steps  []struct {
				Message message
				Outcome string
				Cursor  Cursor
			}
		}
	}
	read(t, "reader", &file)
	for _, scenario := range file.Scenarios {
		cursor := scenario.Cursor
		for n, step := range scenario.Steps {
			event, err := decoded(file.Leader, step.Message)
			if err != nil {
				t.Fatalf("%s: %v", scenario.What, err)
			}
			outcome := Fit(cursor, &event)
			if outcome == "applied" {
				cursor = Moved(cursor, &event)
			}
			if outcome != step.Outcome || cursor != step.Cursor {
				t.Errorf("%s, message %d: %s, %+v", scenario.What, n+1, outcome, cursor)
			}
		}
	}
	if len(file.Scenarios) < 5 {
		t.Error("no vectors")
	}
}
