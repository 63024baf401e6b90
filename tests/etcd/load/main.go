// load puts keys from many clients at once, over etcd's own Go client, and tells how long they took.
//
//	load URL CLIENTS CONNECTIONS PUTS
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

func number(at int) int {
	value, err := strconv.Atoi(os.Args[at])
	if err != nil || value < 1 {
		fmt.Fprintln(os.Stderr, "usage: load URL CLIENTS CONNECTIONS PUTS")
		os.Exit(2)
	}
	return value
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: load URL CLIENTS CONNECTIONS PUTS")
		os.Exit(2)
	}
	workers, connections, puts := number(2), number(3), number(4)
	clients := make([]*clientv3.Client, connections)
	for i := range clients {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{os.Args[1]}, DialTimeout: 10 * time.Second,
			Logger: zap.NewNop()})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		clients[i] = client
		if _, err := client.Get(context.Background(), "warm"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	value := strings.Repeat("v", 256)
	latencies := make([]time.Duration, puts)
	var next, failed atomic.Int64
	var group sync.WaitGroup
	begin := time.Now()
	for worker := 0; worker < workers; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			client := clients[worker%connections]
			for at := next.Add(1) - 1; at < int64(puts); at = next.Add(1) - 1 {
				start := time.Now()
				if _, err := client.Put(context.Background(), fmt.Sprintf("load/%08d", at), value); err != nil {
					failed.Add(1)
				}
				latencies[at] = time.Since(start)
			}
		}()
	}
	group.Wait()
	took := time.Since(begin)
	sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
	fmt.Printf("%d clients, %d puts: %.0f/s, p50 %d us, p99 %d us, %d failed\n", workers, puts,
		float64(puts)/took.Seconds(), latencies[puts/2].Microseconds(), latencies[puts*99/100].Microseconds(),
		failed.Load())
	if failed.Load() > 0 {
		os.Exit(1)
	}
}
