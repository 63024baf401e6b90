// The package's functions, each at least once, against a real Pando: what they answer when it works
// and when it does not. Its keys begin with sdk-go/; it is started with that right. A panic's line
// says what is wrong.
package main

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"time"

	"pando"
	"pando/kv"
)

const (
	long  = 60 * time.Second
	short = 20 * time.Millisecond
)

// What the process below does with a message, by its tag.
const (
	echo = iota + 1
	ignore
	fail
	panics
	end
)

var servant = pando.Define(serve)

func serve(uint64) {
	for {
		message, err := pando.Receive(pando.Forever)
		check(err)
		switch message.Tag {
		case echo:
			check(message.Reply(message.Bytes))
		case fail:
			pando.Exit(pando.Failure, string(message.Bytes))
		case panics:
			panic("a servant panics")
		case end:
			return
		}
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func expect(is bool) {
	if !is {
		panic("not as expected")
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func start() pando.Pid { return must(servant.Spawn(0)) }

func next(tags ...uint64) pando.Message {
	message := must(pando.Receive(long, tags...))
	expect(message.Death == nil)
	return message
}

func nextDeath() pando.Message {
	message := must(pando.Receive(long))
	expect(message.Death != nil)
	return message
}

func nothing(timeout time.Duration, tags ...uint64) {
	_, err := pando.Receive(timeout, tags...)
	expect(err == pando.ErrLate)
}

func messages() {
	me := pando.Self()
	expect(me.Exists() && pando.Environment() > 0)
	me.Send(7, []byte("seven"))
	me.Send(8, []byte("eight"))
	check(me.TrySend(0, append(pando.Numbers(1), 9)))
	expect(pando.MessageCount() == 3)
	eight := next(9, 8)
	expect(eight.Tag == 8 && string(eight.Bytes) == "eight" && eight.Caller == pando.Caller{})
	expect(eight.Reply(nil) == pando.ErrGone)
	expect(string(next().Bytes) == "seven")
	numbers := next().Numbers()
	expect(len(numbers) == 1 && numbers[0] == 1)
	nothing(0)
	nothing(short, 7)
	expect(pando.ReceivedCount() == 3)
	timer := me.SendAfter(10, nil, long)
	expect(timer.Cancel() && !timer.Cancel())
	me.SendAfter(11, nil, short)
	expect(next().Tag == 11)
}

func calls() {
	pid := start()
	expect(string(must(pid.Call(echo, []byte("hello"), long)).Bytes) == "hello")
	pando.Self().Send(0, []byte("before")) // is not taken for the answer
	expect(string(must(pid.Call(echo, []byte("again"), long)).Bytes) == "again")
	expect(string(next().Bytes) == "before")
	_, err := pid.Call(ignore, nil, short)
	expect(err == pando.ErrLate)
	_, err = pid.Call(fail, []byte("on purpose"), long)
	var gone *pando.GoneError
	expect(errors.As(err, &gone) && gone.Reason == pando.Failure && errors.Is(err, pando.ErrGone))
	_, err = pid.Call(echo, nil, long)
	expect(errors.As(err, &gone) && gone.Reason == pando.NoProcess)
	expect(pid.TrySend(echo, nil) == pando.ErrGone && !pid.Exists())
}

func watching() {
	pando.TrapExit(true)
	linked := must(servant.SpawnLink(21, 0))
	linked.Send(fail, []byte("for a reason"))
	message := nextDeath()
	death := message.Death
	expect(message.Tag == 21 && death.By == pando.ByLink && death.Pid == linked && death.Reason == pando.Failure)
	expect(bytes.Contains([]byte(death.Text), []byte("for a reason")))
	later := start()
	later.Link(22)
	later.Send(end, nil)
	expect(nextDeath().Tag == 22)
	unlinked := must(servant.SpawnLink(23, 0))
	unlinked.Unlink()
	unlinked.Kill()
	pando.Self().Exit(pando.Shutdown, "asked")
	death = nextDeath().Death
	expect(death.Pid == pando.Self() && death.Reason == pando.Shutdown)
	pando.TrapExit(false)

	for reason, finish := range map[pando.Reason]func(pando.Pid){
		pando.Normal:   func(pid pando.Pid) { pid.Send(end, nil) },
		pando.Failure:  func(pid pando.Pid) { pid.Send(panics, nil) },
		pando.Killed:   pando.Pid.Kill,
		pando.Shutdown: func(pid pando.Pid) { pid.Exit(pando.Shutdown, "") },
	} {
		watched := start()
		monitor := watched.Monitor()
		finish(watched)
		death := nextDeath().Death
		expect(death.By == pando.ByMonitor && death.Monitor == monitor && death.Pid == watched)
		expect(death.Reason == reason && reason.String() != "")
	}
	expect(pando.Pid(1<<40).Monitor() != 0)
	expect(nextDeath().Death.Reason == pando.NoProcess)
	watched := start()
	expect(watched.Monitor().Stop())
	watched.Kill()
	nothing(short)
}

const choir = pando.Group("choir")

var member = pando.Define(func(parent uint64) {
	check(choir.Join())
	pando.Pid(parent).Send(31, nil)
	pando.Pid(parent).Send(32, next().Bytes)
})

func namesAndGroups() {
	me, other := pando.Self(), start()
	check(me.Register("go"))
	expect(other.Register("go") == pando.ErrTaken && pando.Pid(1<<40).Register("nobody") == pando.ErrGone)
	pid, found := pando.Whereis("go")
	expect(found && pid == me)
	_, found = pando.Whereis("nobody")
	expect(!found)
	other.RegisterOver("go")
	pid, _ = pando.Whereis("go")
	expect(pid == other && pando.Unregister("go") && !pando.Unregister("go"))
	first, isNew, err := servant.GetOrSpawn("only", 0, pando.Options{})
	expect(err == nil && isNew)
	again, isNew, err := servant.GetOrSpawn("only", 0, pando.Options{})
	expect(err == nil && !isNew && again == first)
	first.Kill()
	other.Kill()

	must(member.Spawn(uint64(me)))
	next(31)
	check(choir.Join())
	check(choir.Join())
	members := choir.Members()
	expect(len(members) == 2 && members[1] == me)
	reached, skipped := choir.Broadcast(33, []byte("la")) // by its tag: a member may have answered before all were reached
	expect(reached == 2 && skipped == 0 && string(next(33).Bytes) == "la" && string(next(32).Bytes) == "la")
	expect(choir.Leave() && !choir.Leave())
}

var supervised = pando.Define(func(parent uint64) {
	pando.Pid(parent).Send(41, pando.Numbers(uint64(pando.Self())))
	pando.Ready()
	serve(0)
})

func started() pando.Pid { return pando.Pid(next(41).Numbers()[0]) }

func supervisors() {
	me := uint64(pando.Self())
	worker := pando.Child{ID: "worker", Run: supervised, Argument: me, Ready: long}
	tree := must((&pando.Supervisor{Restarts: 3, Name: "tree", ChildrenMax: 10, Children: []pando.Child{
		worker,
		{ID: "below", Below: &pando.Supervisor{Strategy: pando.OneForAll, Children: []pando.Child{worker}}},
	}}).Start(0))
	first := started()
	started()
	expect(must(tree.Count(long)).Live == 2)
	first.Kill()
	second := started()
	expect(first != second)
	check(tree.StopChild(second, long))
	expect(must(tree.Count(long)).Live == 1)
	expect(must(tree.RestartChild("worker", long)) == started())
	_, err := tree.RestartChild("worker", long)
	expect(err != nil && err.Error() != "" && tree.DeleteChild("stranger", long) != nil)
	check(tree.Stop(long))
	expect(!pando.Pid(tree).Exists())

	each := pando.Child{ID: "each", Run: supervised, Restart: pando.Temporary}
	pool := must((&pando.Supervisor{Strategy: pando.Dynamic, Children: []pando.Child{each}}).Start(42))
	expect(must(pool.StartChild(supervised, me, long)) == started())
	check(pool.Kill(long))
}

var frugal = pando.Define(func(parent uint64) {
	words := os.Args[0] + " " + os.Getenv("COLOUR") + " " + strconv.FormatUint(pando.MemoryLimit(), 10)
	pando.Pid(parent).Send(51, []byte(words))
})

var spawner = pando.Define(func(uint64) { _, _ = servant.Spawn(0) })

var tenant = pando.Define(func(parent uint64) {
	_, err := kv.Put("sdk-go/tenant/key", nil)
	_, denied := kv.Put("sdk-go/key", nil)
	if err == nil && errors.Is(denied, kv.Denied) {
		pando.Pid(parent).Send(71, nil)
	}
})

func rightsAndFigures() {
	config := pando.NewConfig()
	config.MaxMemory(1 << 26)
	config.MaxFuel(1_000_000)
	config.AddArgument("frugal")
	config.AddVariable("COLOUR", "green")
	config.CanCompile(false)
	config.CanConfigure(false)
	config.CanSpawn(false)
	config.AllowKV("sdk-go/tenant/")
	options := pando.Options{Config: config}
	me := uint64(pando.Self())
	must(frugal.SpawnWith(me, options))
	expect(string(next(51).Bytes) == "frugal green "+strconv.Itoa(1<<26))
	must(tenant.SpawnWith(me, options))
	next(71)
	must(spawner.SpawnWith(0, options)).Monitor()
	expect(nextDeath().Death.Reason == pando.Denied)
	config.Drop()

	before := pando.Now()
	pando.Sleep(2 * time.Millisecond)
	expect(pando.Now()-before >= 2*time.Millisecond)
	expect(pando.FuelLimit() == 0 && pando.FuelUsed() > 0 && pando.MemorySize() <= pando.MemoryLimit())
	expect(pando.ProcessCount() >= 1)
}

func main() {
	messages()
	calls()
	watching()
	namesAndGroups()
	supervisors()
	rightsAndFigures()
	outside()
	store()
	os.Stdout.WriteString("all is well\n")
}

//go:wasmexport _start
func begin() { main() }
