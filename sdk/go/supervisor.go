//go:build wasip1

package pando

import (
	"time"
	"unsafe"
)

//go:wasmimport pando::supervisor create
func importSupervisorCreate(strategy, restarts uint32, periodMs uint64) uint64

//go:wasmimport pando::supervisor set_name
func importSupervisorSetName(spec uint64, name string)

//go:wasmimport pando::supervisor set_limits
func importSupervisorSetLimits(spec uint64, childrenMax, autoShutdown uint32)

//go:wasmimport pando::supervisor add_worker
func importSupervisorAddWorker(spec uint64, id string, config, module uint64, function string, params unsafe.Pointer,
	paramsSize, restart, flags uint32, stopMs uint64)

//go:wasmimport pando::supervisor add_supervisor
func importSupervisorAddSupervisor(spec, child uint64, id string, restart uint32, stopMs uint64)

//go:wasmimport pando::supervisor set_ready
func importSupervisorSetReady(spec, readyMs uint64)

//go:wasmimport pando::supervisor start
func importSupervisorStart(spec, linkTag uint64, out unsafe.Pointer) uint32

//go:wasmimport pando::supervisor start_child
func importSupervisorStartChild(pid uint64, params unsafe.Pointer, paramsSize uint32, ms uint64, out unsafe.Pointer) uint32

//go:wasmimport pando::supervisor restart_child
func importSupervisorRestartChild(pid uint64, id string, ms uint64, out unsafe.Pointer) uint32

//go:wasmimport pando::supervisor stop_child
func importSupervisorStopChild(pid, child, ms uint64, out unsafe.Pointer) uint32

//go:wasmimport pando::supervisor delete_child
func importSupervisorDeleteChild(pid uint64, id string, ms uint64, out unsafe.Pointer) uint32

//go:wasmimport pando::supervisor count
func importSupervisorCount(pid uint64, counts unsafe.Pointer, ms uint64, out unsafe.Pointer) uint32

//go:wasmimport pando::supervisor stop
func importSupervisorStop(pid uint64, isBrutal uint32, ms uint64, out unsafe.Pointer) uint32

// Ready tells one's own supervisor that the work can begin: [Child.Ready].
//
//go:wasmimport pando::supervisor ready
func Ready()

// Strategy is who is restarted when a child ends and is to be restarted.
type Strategy uint32

// Strategies.
const (
	OneForOne  Strategy = iota // it alone
	OneForAll                  // all children
	RestForOne                 // it and those that were added after it
	Dynamic                    // it alone; any number of children, all alike, started one by one
)

// Restart is when a child is restarted.
type Restart uint32

// Restarts.
const (
	Permanent Restart = iota // always
	Transient                // unless it ended with Normal or Shutdown
	Temporary                // never; forgotten when it ends
)

// AutoShutdown is when the end of children that are significant ends the supervisor.
type AutoShutdown uint32

// When.
const (
	Never          AutoShutdown = iota
	AnySignificant              // when one of them ends
	AllSignificant              // when all of them have
)

// Child is one child. What is zero is usual: permanent, with five seconds to shut down.
type Child struct {
	ID              string // 1 to 255 bytes, of this supervisor alone
	Run             Function
	Argument        uint64
	Config          *Config
	Restart         Restart
	Stop            time.Duration // how long it may take to shut down; negative: killed at once
	HandlesShutdown bool          // it traps exits and ends when it is told to
	Significant     bool
	Ready           time.Duration // not 0: it counts as started when it calls [Ready], within this time
	Below           *Supervisor   // a supervisor instead of a process: of the above, ID and Restart count
}

// Supervisor describes a tree of processes that Pando starts, watches and restarts. It is a process
// itself, but runs no guest code and cannot crash. More than Restarts within Period, and it gives
// up: it stops its children and fails. Of one that is Dynamic its only child says what all are like.
type Supervisor struct {
	Strategy     Strategy
	Restarts     uint32
	Period       time.Duration // 5 s unless said
	Name         string        // in reports and in pando ps; may be empty
	ChildrenMax  uint32        // 65,536 unless said
	AutoShutdown AutoShutdown
	Children     []Child
}

// describe tells Pando about it and those below, which must form a tree.
func (s *Supervisor) describe() uint64 {
	period := s.Period
	if period == 0 {
		period = 5 * time.Second
	}
	spec := importSupervisorCreate(uint32(s.Strategy), s.Restarts, Milliseconds(period))
	if s.Name != "" {
		importSupervisorSetName(spec, s.Name)
	}
	if s.ChildrenMax != 0 || s.AutoShutdown != Never {
		children := s.ChildrenMax
		if children == 0 {
			children = 65536
		}
		importSupervisorSetLimits(spec, children, uint32(s.AutoShutdown))
	}
	for i := range s.Children {
		s.Children[i].describe(spec)
	}
	return spec
}

func (c *Child) describe(spec uint64) {
	if c.Below != nil {
		importSupervisorAddSupervisor(spec, c.Below.describe(), c.ID, uint32(c.Restart), Milliseconds(Forever))
		return
	}
	stop := c.Stop
	if stop == 0 {
		stop = 5 * time.Second
	}
	params := c.Run.params(c.Argument)
	importSupervisorAddWorker(spec, c.ID, c.Config.id(), inherit, entry, unsafe.Pointer(&params), uint32(len(params)),
		uint32(c.Restart), number(c.HandlesShutdown)|number(c.Significant)<<1, Milliseconds(stop))
	if c.Ready != 0 {
		importSupervisorSetReady(spec, Milliseconds(c.Ready))
	}
}

// Running is a supervisor that runs, by its pid.
type Running Pid

// Start starts it, linked to this process under linkTag (0: not linked), and waits until its first
// children have started.
func (s *Supervisor) Start(linkTag uint64) (Running, error) {
	var out uint64
	if importSupervisorStart(s.describe(), linkTag, unsafe.Pointer(&out)) != 0 {
		return 0, TakeError(out)
	}
	return Running(out), nil
}

func answered(code uint32, out uint64) (Pid, error) {
	switch code {
	case 0:
		return Pid(out), nil
	case 1:
		return 0, TakeError(out)
	}
	return 0, ErrLate
}

// StartChild starts a child of a dynamic supervisor. With [ErrLate] it may still start.
func (r Running) StartChild(run Function, argument uint64, timeout time.Duration) (Pid, error) {
	params := run.params(argument)
	var out uint64
	code := importSupervisorStartChild(uint64(r), unsafe.Pointer(&params), uint32(len(params)),
		Milliseconds(timeout), unsafe.Pointer(&out))
	return answered(code, out)
}

// StopChild stops the child with this pid. It stays stopped; a dynamic supervisor forgets it.
func (r Running) StopChild(child Pid, timeout time.Duration) error {
	var out uint64
	code := importSupervisorStopChild(uint64(r), uint64(child), Milliseconds(timeout), unsafe.Pointer(&out))
	_, err := answered(code, out)
	return err
}

// RestartChild starts a child that was stopped.
func (r Running) RestartChild(id string, timeout time.Duration) (Pid, error) {
	var out uint64
	code := importSupervisorRestartChild(uint64(r), id, Milliseconds(timeout), unsafe.Pointer(&out))
	return answered(code, out)
}

// DeleteChild forgets a child that was stopped.
func (r Running) DeleteChild(id string, timeout time.Duration) error {
	var out uint64
	code := importSupervisorDeleteChild(uint64(r), id, Milliseconds(timeout), unsafe.Pointer(&out))
	_, err := answered(code, out)
	return err
}

// Counts is how many children there are.
type Counts struct {
	Described uint32 // all that the supervisor knows, the stopped ones included
	Active    uint32 // that run, start, stop or wait for a restart
	Live      uint32 // with a process
	Requests  uint32 // that wait for the operation in progress
}

// Count counts its children.
func (r Running) Count(timeout time.Duration) (Counts, error) {
	var counts Counts
	var out uint64
	code := importSupervisorCount(uint64(r), unsafe.Pointer(&counts), Milliseconds(timeout), unsafe.Pointer(&out))
	_, err := answered(code, out)
	return counts, err
}

// Stop stops it and all below it, in order, and waits until it has ended. The link to it is taken
// away first, so as not to be told of what one asked for.
func (r Running) Stop(timeout time.Duration) error { return r.end(0, timeout) }

// Kill is the same, but kills them.
func (r Running) Kill(timeout time.Duration) error { return r.end(1, timeout) }

func (r Running) end(isBrutal uint32, timeout time.Duration) error {
	Pid(r).Unlink()
	var out uint64
	code := importSupervisorStop(uint64(r), isBrutal, Milliseconds(timeout), unsafe.Pointer(&out))
	_, err := answered(code, out)
	return err
}
