//go:build wasip1

package pando

// Figures of the program, by name, for whoever watches it: a node shows those of its application at
// /metrics, as pando_guest_counter_total{name="jobs.done"} and so on.
//
// A metric comes to be when it is first recorded, belongs to the whole program, and each kind has
// names of its own. Recording never waits and never fails: what finds no room, has a name longer
// than 256 bytes, or is no finite number is dropped, and the node counts how often. A name that is no
// UTF-8 ends the process.

//go:wasmimport lunatic::metrics counter
func importCounter(name string, value uint64)

//go:wasmimport lunatic::metrics increment_counter
func importIncrementCounter(name string)

//go:wasmimport lunatic::metrics gauge
func importGauge(name string, value float64)

//go:wasmimport lunatic::metrics increment_gauge
func importIncrementGauge(name string, value float64)

//go:wasmimport lunatic::metrics decrement_gauge
func importDecrementGauge(name string, value float64)

//go:wasmimport lunatic::metrics histogram
func importHistogram(name string, value float64)

// Counter is the name of a number that only grows, from 0; it stops at the greatest uint64.
//
//	const done = pando.Counter("jobs.done")
//	done.Increment()
type Counter string

// Increment adds 1.
func (c Counter) Increment() { importIncrementCounter(string(c)) }

// Add adds value.
func (c Counter) Add(value uint64) { importCounter(string(c), value) }

// Gauge is the name of a number that goes up and down.
type Gauge string

// Set makes it value.
func (g Gauge) Set(value float64) { importGauge(string(g), value) }

// Add adds value; a gauge that was never set begins at 0.
func (g Gauge) Add(value float64) { importIncrementGauge(string(g), value) }

// Subtract takes value from it.
func (g Gauge) Subtract(value float64) { importDecrementGauge(string(g), value) }

// Histogram is the name of a count of values by their size, in buckets each four times as wide as
// the one before.
type Histogram string

// Record records one value. Take the unit into the name: jobs.seconds.
func (h Histogram) Record(value float64) { importHistogram(string(h), value) }
