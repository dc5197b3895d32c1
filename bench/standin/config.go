package standin

import (
	"fmt"
	"time"
)

// Config says what kind of server to be. The zero value costs nothing and
// answers at once; [DefaultConfig] is the server of the tables.
type Config struct {
	// Accelerators is how many calls run at once; at least 1. Default 1.
	Accelerators int
	// Fixed and PerItem are a and b of a call's cost a + b·n. Both 0: no queue.
	Fixed, PerItem time.Duration
	// MaxItems is the most items of one call; more are answered 400. 0: no limit.
	MaxItems int
	// Dimensions is the length of an embedding. Default 16.
	Dimensions int
	// Tokens is the length of a chat completion that asks for none. Default 16.
	Tokens int
	// Gap is the time between two tokens of a chat completion that asks for
	// none.
	Gap time.Duration
	// KeepAlive is after how long an idle connection is closed, as uvicorn does
	// after 5 s. 0: never.
	KeepAlive time.Duration
	// HangUp closes a connection after a 500 without having said so in its head,
	// as uvicorn does after an exception that nobody caught.
	HangUp bool
	// MaxBody bounds a request's body in bytes. Default 64 MiB.
	MaxBody int
	// Observe, where not nil, is shown every request; many at once.
	Observe func(Request)
}

// DefaultConfig is one accelerator at 10 ms a call and 0.5 ms an item, and chat
// completions of 16 tokens with 5 ms between them.
func DefaultConfig() Config {
	return Config{
		Accelerators: 1, Fixed: 10 * time.Millisecond, PerItem: 500 * time.Microsecond,
		Dimensions: 16, Tokens: 16, Gap: 5 * time.Millisecond, MaxBody: 64 << 20,
	}
}

// check names the first field that makes no sense, after filling the defaults.
func (c *Config) check() error {
	d := DefaultConfig()
	for _, f := range []struct {
		name  string
		value *int
		or    int
	}{
		{"Accelerators", &c.Accelerators, d.Accelerators},
		{"Dimensions", &c.Dimensions, d.Dimensions},
		{"Tokens", &c.Tokens, d.Tokens},
		{"MaxBody", &c.MaxBody, d.MaxBody},
		{"MaxItems", &c.MaxItems, 0},
	} {
		if *f.value < 0 {
			return fmt.Errorf("standin: %s: %d is negative", f.name, *f.value)
		}
		if *f.value == 0 {
			*f.value = f.or
		}
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"Fixed", c.Fixed}, {"PerItem", c.PerItem}, {"Gap", c.Gap}, {"KeepAlive", c.KeepAlive}} {
		if f.value < 0 {
			return fmt.Errorf("standin: %s: %v is negative", f.name, f.value)
		}
	}
	return nil
}
