package main

// What is asked of the leader itself: a range of its log.

import (
	"encoding/json"
	"fmt"
	"time"

	"journey-mesh.example/languages/events"
)

// ask asks the leader; a refusal, or nobody who answers, is for later.
func (r *reader) ask(request string, body map[string]any, answer any) error {
	var refusal struct {
		Error *struct{ Code, Message string }
	}
	data, _ := json.Marshal(body)
	reply, err := r.nc.Request(leader.Prefix+"."+request, data, 5*time.Second)
	if err == nil {
		err = json.Unmarshal(reply.Data, &refusal)
	}
	if err == nil && refusal.Error != nil {
		err = fmt.Errorf("%s: %s", refusal.Error.Code, refusal.Error.Message)
	}
	if err != nil {
		return fmt.Errorf("%s.%s: %w", leader.Prefix, request, err)
	}
	return json.Unmarshal(reply.Data, answer)
}

type page struct {
	Events       []events.Event
	LastPosition int64 `json:"last_position"`
}

func (r *reader) page(after, limit int64) (found page, err error) {
	err = r.ask("events", map[string]any{"after_position": after, "limit": limit}, &found)
	return found, err
}

// compare (R8): the leader's log is the judge. Has it our cursor?
func (r *reader) compare(at events.Cursor) error {
	found, err := r.page(max(at.Position-1, 0), 1)
	if err == nil && at.Position > 0 &&
		(len(found.Events) == 0 || found.Events[0].Chain != at.Chain) {
		err = fmt.Errorf("forked: the leader's log has not what we have read at %d", at.Position)
	}
	return err
}
