// A reactor as Go builds it: processes can be spawned with its exports.
package main

//go:wasmimport lunatic::message create_data
func createData(tag, capacity uint64)

//go:wasmimport lunatic::message send
func send(pid uint64) uint32

//go:wasmexport worker
func worker(parent int64, number int32) {
	answer := make(chan int32)
	go func() { answer <- number }()
	createData(uint64(<-answer), 0)
	send(uint64(parent))
}

func main() {}
