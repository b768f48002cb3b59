// `program slow|pool plain|cluster PORTS KEY TIMEOUT_MS [REMEDY]`: see ../README.md.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const workers = 4

func universal(where, ports, remedy string, timeout time.Duration) redis.UniversalClient {
	var addresses []string
	for _, port := range strings.Split(ports, ",") {
		addresses = append(addresses, "127.0.0.1:"+port)
	}
	if where == "cluster" {
		options := &redis.ClusterOptions{Addrs: addresses, ReadTimeout: timeout}
		if strings.Contains(remedy, "MaxRetries") {
			options.MaxRetries = -1
		}
		if strings.Contains(remedy, "MaxRedirects") {
			options.MaxRedirects = -1
		}
		if strings.Contains(remedy, "ReloadInterval") {
			options.ClusterStateReloadInterval = time.Second
		}
		return redis.NewClusterClient(options)
	}
	options := &redis.Options{Addr: addresses[0], ReadTimeout: timeout}
	if strings.Contains(remedy, "MaxRetries") {
		options.MaxRetries = -1
	}
	return redis.NewClient(options)
}

func late(arguments []string) {
	milliseconds, _ := strconv.Atoi(arguments[4])
	remedy, timeout := strings.Join(arguments[5:], " "), time.Duration(milliseconds)*time.Millisecond
	client := universal(arguments[1], arguments[2], remedy, timeout)
	key := arguments[3]
	if arguments[0] == "slow" {
		slow(client, key)
	} else {
		pool(client, key)
	}
}

func slow(client redis.UniversalClient, key string) {
	var done sync.WaitGroup
	var lock sync.Mutex
	told := map[string]int{}
	for worker := 0; worker < workers; worker++ {
		done.Add(1)
		go func() {
			defer done.Done()
			err := client.Incr(ctx, key).Err()
			lock.Lock()
			defer lock.Unlock()
			told[fmt.Sprint(err)]++
		}()
	}
	done.Wait()
	json.NewEncoder(os.Stdout).Encode(told)
}

func pool(client redis.UniversalClient, key string) {
	lines := make(chan string, 1000)
	for worker := 0; worker < workers; worker++ {
		go func() {
			for {
				time.Sleep(20 * time.Millisecond)
				start := time.Now()
				err := client.Incr(ctx, key).Err()
				lines <- fmt.Sprintf("%d %d %v", start.UnixMilli(), time.Since(start).Milliseconds(), err)
			}
		}()
	}
	go func() {
		for line := range lines {
			fmt.Println(line)
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}
