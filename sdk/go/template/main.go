// @NAME@: a process that adds, and one that asks it.
package main

import (
	"os"
	"strconv"
	"time"

	"pando"
)

// A process: it runs in a memory of its own, and answers until it is killed.
var adder = pando.Define(func(argument uint64) {
	for {
		question, err := pando.Receive(pando.Forever)
		if err == nil && question.Death == nil {
			var sum uint64
			for _, number := range question.Numbers() {
				sum += number
			}
			_ = question.Reply(pando.Numbers(sum)) // who no longer waits for it does not miss it
		}
	}
})

// Pando begins here: Go calls no main by itself in a module whose functions can be called.
//
//go:wasmexport _start
func start() { main() }

func main() {
	sum, err := ask()
	if err != nil {
		os.Stderr.WriteString("@NAME@: " + err.Error() + "\n")
		os.Exit(1)
	}
	// Without fmt the module is half as large.
	os.Stdout.WriteString("hello from @NAME@: 20 + 22 = " + strconv.FormatUint(sum, 10) + "\n")
}

func ask() (uint64, error) {
	pid, err := adder.SpawnLink(1, 0)
	if err != nil {
		return 0, err
	}
	answer, err := pid.Call(0, pando.Numbers(20, 22), 5*time.Second)
	if err != nil {
		return 0, err
	}
	return answer.Numbers()[0], nil
}
