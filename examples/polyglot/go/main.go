// price - knows what things cost; and dies of an order for what is not on its list, as that is a
// mistake that nobody thought of.
//
// What each stage does, in its own language: receive an order, do one thing to it, add a word to its
// trail, ask the next stage of its route, and answer with that answer. See ../README.md.
package main

import (
	"strconv"
	"strings"
)

const (
	tagOrder = 1
	attempts = 3
	waitMs   = 30000
	lookMs   = 5
)

var prices = map[string]int{"tea": 250, "coffee": 300, "cake": 420}

// find says who has the name; it waits a while, since a stage that has crashed has none until it is back.
func find(name string) uint64 {
	for waited := 0; waited < waitMs; waited += lookMs {
		if pid := whereis(name); pid != 0 {
			return pid
		}
		sleep(lookMs)
	}
	return 0
}

// passOn hands the order to the next stage of its route, if there is one. It returns what the caller is to
// be answered.
func passOn(fields []string) string {
	next, rest, _ := strings.Cut(fields[4], " ")
	fields[4] = rest
	order := strings.Join(fields, "\t")
	if next == "" {
		return order
	}
	for range attempts {
		begin(tagOrder, order)
		if call(find(next), waitMs) == 0 {
			return textAtHand()
		}
	}
	return "refused: " + next + " died of it"
}

func handle(order string) string {
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
	fields[5] += " go#" + strconv.FormatUint(self(), 10)
	return passOn(fields)
}

func main() {
	for receive() {
		caller, ref := messagePid(), messageRef()
		begin(0, handle(textAtHand()))
		reply(caller, ref)
	}
}
