package events

import (
	"encoding/json"
	"strings"
)

// Cursor is how far a reader has read a log; the chain of the beginning is 64 zeros.
type Cursor struct {
	Position int64
	Chain    string
	Term     int64
}

// Beginning is the cursor of who has read nothing.
var Beginning = Cursor{Chain: strings.Repeat("0", 64)}

// termAfter (R6): a TermBegan says its own term, which is a higher one.
func termAfter(term int64, event *Event) int64 {
	var begun struct{ Term int64 }
	if event.Type == "TermBegan" && json.Unmarshal([]byte(event.Data), &begun) == nil {
		return max(term, begun.Term)
	}
	return term
}

// Fit says what a message of the stream is for a reader that stands at this cursor.
func Fit(cursor Cursor, event *Event) string {
	switch {
	case event.Position > cursor.Position && event.Term > 0 && event.Term < cursor.Term:
		return "void" // R5
	case event.Position < cursor.Position,
		event.Position == cursor.Position && event.Chain == cursor.Chain:
		return "repeat" // R3
	case event.Position > cursor.Position+1:
		return "gap" // R7
	case event.Position == cursor.Position, ChainAfter(cursor.Chain, event) != event.Chain:
		return "does_not_follow" // R8
	case cursor.Term > 0 && event.Term != termAfter(cursor.Term, event):
		return "does_not_follow" // R6
	}
	return "applied"
}

// Moved is the cursor behind an event that was applied.
func Moved(cursor Cursor, event *Event) Cursor {
	term := cursor.Term
	if term == 0 {
		term = event.Term
	}
	return Cursor{event.Position, event.Chain, termAfter(term, event)}
}
