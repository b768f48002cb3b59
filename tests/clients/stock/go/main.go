// go-redis as people have it. What a stock client program does is described in ../README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

var ctx = context.Background()

func basics(address, key string) map[string]string {
	found := map[string]string{}
	check := func(name string, work func() error) {
		found[name] = "ok"
		if err := work(); err != nil {
			found[name] = err.Error()
		}
	}
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close()
	check("defaults", func() error {
		value, err := client.Incr(ctx, key+":a").Result()
		if err == nil && value != 1 {
			err = fmt.Errorf("told %d", value)
		}
		return err
	})
	hello, err := client.Do(ctx, "HELLO").Result()
	found["protocol"] = fmt.Sprint(err)
	if answer, isMap := hello.(map[interface{}]interface{}); isMap {
		found["protocol"] = fmt.Sprintf("RESP%v", answer["proto"])
	} else if err == nil {
		found["protocol"] = "RESP2"
	}
	for _, protocol := range []int{2, 3} {
		check(fmt.Sprintf("RESP%d", protocol), func() error {
			other := redis.NewClient(&redis.Options{Addr: address, Protocol: protocol})
			defer other.Close()
			return other.Set(ctx, key+":b", protocol, time.Minute).Err()
		})
	}
	check("pipeline", func() error {
		pipeline := client.Pipeline()
		for i := 0; i < 100; i++ {
			pipeline.Incr(ctx, key+":p")
		}
		replies, err := pipeline.Exec(ctx)
		for i, reply := range replies {
			if err == nil && reply.(*redis.IntCmd).Val() != int64(i+1) {
				err = errors.New("out of order")
			}
		}
		return err
	})
	check("MULTI", func() error {
		replies, err := client.TxPipelined(ctx, func(pipeline redis.Pipeliner) error {
			pipeline.IncrBy(ctx, key+":m", 5)
			pipeline.Decr(ctx, key+":m")
			return nil
		})
		if err == nil && replies[1].(*redis.IntCmd).Val() != 4 {
			err = errors.New("wrong value")
		}
		return err
	})
	check("WATCH", func() error {
		return client.Watch(ctx, func(tx *redis.Tx) error {
			value, err := tx.Get(ctx, key+":m").Int64()
			if err != nil {
				return err
			}
			_, err = tx.TxPipelined(ctx, func(pipeline redis.Pipeliner) error { return pipeline.Set(ctx, key+":m", value*2, 0).Err() })
			return err
		}, key+":m")
	})
	check("errors", func() error {
		client.Set(ctx, key+":e", "9223372036854775807", 0)
		if err := client.Incr(ctx, key+":e").Err(); err == nil {
			return errors.New("no overflow was told")
		}
		return client.Decr(ctx, key+":e").Err()
	})
	check("SCAN", func() error {
		count := 0
		pages := client.Scan(ctx, 0, key+":*", 10).Iterator()
		for pages.Next(ctx) {
			count++
		}
		if pages.Err() == nil && count < 4 {
			return fmt.Errorf("%d keys", count)
		}
		return pages.Err()
	})
	return found
}

func count(address, key string) map[string]any {
	options := &redis.Options{Addr: address}
	if len(os.Args) > 3 {
		options.MaxRetries = -1
	}
	client := redis.NewClient(options)
	defer client.Close()
	var lock sync.Mutex
	var done sync.WaitGroup
	acknowledged, gap, last := 0, time.Duration(0), time.Now()
	failures := map[string]int{}
	stop := make(chan struct{})
	for worker := 0; worker < 4; worker++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
				}
				err := client.Incr(ctx, key).Err()
				lock.Lock()
				if err != nil {
					failures[err.Error()]++
				} else {
					acknowledged++
					gap, last = max(gap, time.Since(last)), time.Now()
					if acknowledged == 20 {
						fmt.Println("counting")
					}
				}
				lock.Unlock()
			}
		}()
	}
	io.Copy(io.Discard, os.Stdin)
	close(stop)
	done.Wait()
	return map[string]any{"acknowledged": acknowledged, "errors": failures, "gap_ms": gap.Milliseconds()}
}

func main() {
	if os.Args[1] == "slow" || os.Args[1] == "pool" {
		late(os.Args[1:])
		return
	}
	address, key := "127.0.0.1:"+os.Args[1], os.Args[2]
	out := json.NewEncoder(os.Stdout)
	out.Encode(basics(address, key))
	for word := []byte{0}; word[0] != '\n'; {
		if _, err := os.Stdin.Read(word); err != nil {
			break
		}
	}
	out.Encode(count(address, key))
}
