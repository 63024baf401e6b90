// price - knows what things cost; and dies of an order for what is not on its list, as that is a
// mistake that nobody thought of.
//
// What each stage does, in its own language: receive an order, do one thing to it, add a word to its
// trail, ask the next stage of its route, and answer with that answer. See ../README.md.
package main

import (
	"strconv"
	"strings"
	"time"

	"pando"
)

const (
	tagOrder = 1
	attempts = 3
	wait     = 30 * time.Second
	look     = 5 * time.Millisecond
)

var prices = map[string]int{"tea": 250, "coffee": 300, "cake": 420}

// find says who has the name; it waits a while, since a stage that has crashed has none until it is back.
func find(name string) pando.Pid {
	for waited := time.Duration(0); waited < wait; waited += look {
		if pid, isThere := pando.Whereis(name); isThere {
			return pid
		}
		pando.Sleep(look)
	}
	return 0
}

// passOn hands the order to the next stage of its route, if there is one. It returns what the caller is to
// be answered.
func passOn(fields []string) []byte {
	next, rest, _ := strings.Cut(fields[4], " ")
	fields[4] = rest
	order := []byte(strings.Join(fields, "\t"))
	if next == "" {
		return order
	}
	for range attempts {
		if answer, err := find(next).Call(tagOrder, order, wait); err == nil {
			return answer.Bytes
		}
	}
	return []byte("refused: " + next + " died of it")
}

func handle(order string) []byte {
	fields := strings.Split(order, "\t")
	quantity, err := strconv.Atoi(fields[1])
	if err != nil {
		panic(err)
	}
	price, isKnown := prices[fields[2]]
	if !isKnown {
		panic("no price for " + fields[2])
	}
	fields[3] = strconv.Itoa(quantity * price)
	fields[5] += " go#" + strconv.FormatUint(uint64(pando.Self()), 10)
	return passOn(fields)
}

// Pando begins here: Go calls no main by itself in a module whose functions can be called.
//
//go:wasmexport _start
func start() { main() }

func main() {
	for {
		message, err := pando.Receive(pando.Forever)
		if err == nil && message.Death == nil {
			_ = message.Reply(handle(string(message.Bytes))) // a caller that is gone asks again
		}
	}
}
