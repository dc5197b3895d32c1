package main

import (
	"os"
	"runtime"
)

// enough is how many threads serve requests where nobody says and there are more cores.
// Beyond it each request costs more of the processor, since idle threads look for work
// when a token arrives, and nothing is faster; the cores are the model server's.
const enough = 4

// setConcurrency has n threads run Go code at once. 0: as many as the container's limit
// or the machine allows, but enough at most; what the environment says (GOMAXPROCS, see
// package runtime) stays.
func setConcurrency(n int) {
	if n == 0 {
		if os.Getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) <= enough {
			return
		}
		n = enough
	}
	runtime.GOMAXPROCS(n)
}
