// What /metrics of a node shows while this lives: each function that records, once at least. With an
// argument it ends at once. A program of its own, as a node compiles it for longer the larger it is.
package main

import (
	"math"
	"os"

	"pando"
)

func main() {
	const done, open, seconds = pando.Counter("go.done"), pando.Gauge("go.open"), pando.Histogram("go.seconds")
	done.Increment()
	done.Add(41)
	open.Set(10.5)
	open.Add(2)
	open.Subtract(0.5)
	seconds.Record(0.25)
	seconds.Record(3)
	seconds.Record(math.NaN())    // is dropped
	pando.Counter("").Increment() // and so is this
	if len(os.Args) == 1 {
		pando.Receive(pando.Forever)
	}
}

//go:wasmexport _start
func begin() { main() }
