// A load generator for etcd: `put` (a blind write), `cas` (a counter's increment: read, then a transaction on the revision that was read, again until
// it holds), `get` (a linearizable read) and `mixed`. Prints one line of JSON in the form of loadgen.c; ten connections per endpoint carry all workers.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const clientsPerEndpoint = 4

// Operations that a worker may have under way on a timetable; as many as loadgen.c allows a connection.
const underWayEach = 256

type result struct {
	Operations int     `json:"operations"`
	Seconds    float64 `json:"seconds"`
	Rate       float64 `json:"rate"`
	P50        float64 `json:"p50_ms"`
	P90        float64 `json:"p90_ms"`
	P99        float64 `json:"p99_ms"`
	P999       float64 `json:"p999_ms"`
	Errors     int     `json:"errors"`
	FirstError string  `json:"first_error"`
	CPU        float64 `json:"cpu_s"`
}

func increment(ctx context.Context, c *clientv3.Client, key string) error {
	got, err := c.Get(ctx, key)
	if err != nil {
		return err
	}
	kvs := got.Kvs
	for {
		var value, revision int64
		if len(kvs) == 1 {
			revision = kvs[0].ModRevision
			if value, err = strconv.ParseInt(string(kvs[0].Value), 10, 64); err != nil {
				return err
			}
		}
		txn, err := c.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
			Then(clientv3.OpPut(key, strconv.FormatInt(value+1, 10))).
			Else(clientv3.OpGet(key)).Commit()
		if err != nil || txn.Succeeded {
			return err
		}
		kvs = txn.Responses[0].GetResponseRange().Kvs
	}
}

func operate(ctx context.Context, c *clientv3.Client, mode, key string, reads int) (err error) {
	switch {
	case mode == "get" || mode == "mixed" && rand.IntN(100) < reads:
		_, err = c.Get(ctx, key)
	case mode == "cas":
		err = increment(ctx, c, key)
	default:
		_, err = c.Put(ctx, key, "12345678")
	}
	return err
}

func main() {
	endpoints := flag.String("a", "", "endpoints, HOST:PORT,…")
	workers := flag.Int("c", 50, "workers, each with one operation under way")
	seconds := flag.Float64("t", 3, "seconds measured")
	warmUp := flag.Float64("u", 0.5, "seconds before")
	keys := flag.Int("k", 1, "keys")
	mode := flag.String("m", "put", "put, cas, get or mixed")
	reads := flag.Int("g", 90, "reads per hundred, for mixed")
	rate := flag.Float64("r", 0, "operations per second: each begins when it is due, and its latency counts from then")
	flag.Parse()

	addresses := strings.Split(*endpoints, ",")
	var clients []*clientv3.Client
	for i := 0; i < clientsPerEndpoint*len(addresses) && i < *workers; i++ {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{addresses[i%len(addresses)]}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			fmt.Fprintln(os.Stderr, "etcdload:", err)
			os.Exit(1)
		}
		clients = append(clients, c)
	}
	begin := time.Now()
	from := begin.Add(time.Duration(*warmUp * float64(time.Second)))
	end := from.Add(time.Duration(*seconds * float64(time.Second)))
	ctx, cancel := context.WithDeadline(context.Background(), end.Add(time.Second))
	defer cancel()

	var mutex sync.Mutex
	var took []float64
	out := result{Seconds: *seconds}
	var all sync.WaitGroup
	underWay := make(chan struct{}, underWayEach*(*workers))
	one := func(w int, start time.Time) {
		err := operate(ctx, clients[w%len(clients)], *mode, fmt.Sprintf("counter:%012d", rand.IntN(*keys)), *reads)
		done := time.Now()
		if done.Before(from) || !done.Before(end) {
			return
		}
		mutex.Lock()
		defer mutex.Unlock()
		if err != nil {
			out.Errors++
			out.FirstError = err.Error()
			return
		}
		took = append(took, float64(done.Sub(start).Microseconds())/1000)
	}
	for w := range *workers {
		all.Add(1)
		go func() {
			defer all.Done()
			if *rate == 0 {
				for time.Now().Before(end) {
					one(w, time.Now())
				}
				return
			}
			interval := time.Duration(float64(*workers) / *rate * float64(time.Second))
			for planned := begin.Add(interval * time.Duration(w) / time.Duration(*workers)); planned.Before(end); planned = planned.Add(interval) {
				time.Sleep(time.Until(planned))
				underWay <- struct{}{}
				all.Add(1)
				go func() {
					defer all.Done()
					one(w, planned)
					<-underWay
				}()
			}
		}()
	}
	all.Wait()
	sort.Float64s(took)
	at := func(share float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return took[min(len(took)-1, int(share*float64(len(took))))]
	}
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	out.Operations, out.Rate = len(took), float64(len(took)) / *seconds
	out.P50, out.P90, out.P99, out.P999 = at(0.5), at(0.9), at(0.99), at(0.999)
	out.CPU = time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
	_ = json.NewEncoder(os.Stdout).Encode(out)
}
