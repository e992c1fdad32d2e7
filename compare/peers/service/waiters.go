package service

import (
	"sync"
	"time"

	"journey-mesh.example/peers/shop"
)

const waitMax = 5 * time.Second

// Waiters are questions that wait until an order is in the projection, or for waitMax.
type Waiters struct {
	mutex sync.Mutex
	byID  map[string][]*waiter
}

type waiter struct {
	answer func(error)
	timer  *time.Timer
}

// Add has answer called once: with nil as soon as the order is Done, or with a refusal.
func (w *Waiters) Add(id string, answer func(error)) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.byID == nil {
		w.byID = map[string][]*waiter{}
	}
	one := &waiter{answer: answer}
	one.timer = time.AfterFunc(waitMax, func() { w.expire(id, one) })
	w.byID[id] = append(w.byID[id], one)
}

// Done answers all who wait for one of these orders.
func (w *Waiters) Done(ids ...string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if len(w.byID) == 0 {
		return
	}
	for _, id := range ids {
		for _, one := range w.byID[id] {
			one.timer.Stop()
			one.answer(nil)
		}
		delete(w.byID, id)
	}
}

func (w *Waiters) expire(id string, gone *waiter) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for i, one := range w.byID[id] {
		if one == gone { // otherwise Done was faster
			w.byID[id] = append(w.byID[id][:i], w.byID[id][i+1:]...)
			one.answer(&shop.Refusal{Code: "not_yet", Message: "the order is not known here yet"})
			break
		}
	}
	if len(w.byID[id]) == 0 {
		delete(w.byID, id)
	}
}
