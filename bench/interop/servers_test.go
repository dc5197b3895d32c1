//go:build interop

package interop_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/realserver"
)

// forms are how the official Triton clients send tensors.
var forms = []string{"json", "binary", "grpc"}

// The official Triton clients speak to a real Triton, whose own counters prove that
// it was sent batches.
func TestTriton(t *testing.T) {
	h := newHouse(t)
	triton, err := realserver.PrepareTriton(h.ctx, func(s string) { t.Log(s) })
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("SKIPPED, Triton does not run on this machine: %v", err)
	}
	require.NoError(t, err)
	server, err := triton.Start(h.ctx, h.group)
	require.NoError(t, err)

	for _, form := range forms {
		t.Run(form, func(t *testing.T) {
			direct := server.Address
			if form == "grpc" {
				direct = server.GRPC
			}
			friday := h.proxy(t, direct)
			h.pytest(t, "test_inference.py",
				"FORM="+form, "DIRECT="+direct, "FRIDAY="+friday.Listen, "METRICS="+server.Metrics,
				"MODEL="+realserver.PerceptronModel,
				"INPUT="+realserver.PerceptronInput, "OUTPUT="+realserver.PerceptronOutput)
		})
	}
}

// The official Triton client speaks gRPC to a real MLServer.
func TestMLServerGRPC(t *testing.T) {
	h := newHouse(t)
	assets, err := realserver.Prepare(h.ctx, func(s string) { t.Log(s) })
	require.NoError(t, err)
	server, err := assets.Start(h.ctx, h.group, t.TempDir())
	require.NoError(t, err)
	friday := h.proxy(t, server.GRPC)

	before, err := friday.Batches(h.ctx)
	require.NoError(t, err)
	h.pytest(t, "test_inference.py",
		"FORM=grpc", "DIRECT="+server.GRPC, "FRIDAY="+friday.Listen, "DIGITS="+assets.DigitsFile,
		"MODEL="+realserver.DigitsModel, "INPUT=predict", "OUTPUT=predict")
	after, err := friday.Batches(h.ctx)
	require.NoError(t, err)
	sent := after.Sub(before)
	t.Logf("Friday sent %.0f items in %.0f calls: %.1f at a time", sent.Items, sent.Calls, sent.Mean())
	require.Greater(t, sent.Mean(), 1.5, "nothing was batched, so batching was not tested")
}

// llamaEnv says whether llama.cpp's server is built for its test where it is not in
// the cache: 1. 0: there is no such test.
const llamaEnv = "FRIDAY_LLAMA"

// needLlama skips where llama.cpp's server is not there and is not to be built.
func needLlama(t *testing.T) {
	t.Helper()
	switch wanted := os.Getenv(llamaEnv); {
	case wanted == "0":
		t.Skipf("SKIPPED, llama.cpp was not called: %s=0", llamaEnv)
	case wanted == "" && !realserver.LlamaBuilt():
		t.Skipf("SKIPPED, llama.cpp was not called: its server is not in the cache, and to build it takes ten minutes of a core; %s=1 does", llamaEnv)
	}
}

// The official openai SDK speaks to llama.cpp's server, which has a batcher of its
// own: there nothing but the answers is looked at.
func TestLlama(t *testing.T) {
	needLlama(t)
	h := newHouse(t)
	llama, err := realserver.PrepareLlama(h.ctx, func(s string) { t.Log(s) })
	require.NoError(t, err)
	server, err := llama.Start(h.ctx, h.group)
	require.NoError(t, err)
	friday := h.proxy(t, server.Address)

	h.pytest(t, "test_llama.py", "MODEL="+realserver.MiniLMModel, "DIRECT="+server.Address, "FRIDAY="+friday.Listen)
}

// The official openai SDK chats with a real model, in whole answers and in streams, and
// leaves in the middle.
func TestLlamaChat(t *testing.T) {
	needLlama(t)
	h := newHouse(t)
	chat, err := realserver.PrepareChat(h.ctx, func(s string) { t.Log(s) })
	require.NoError(t, err)
	server, err := chat.Start(h.ctx, h.group)
	require.NoError(t, err)
	friday := h.proxy(t, server.Address)

	h.pytest(t, "test_llama_chat.py", "MODEL="+realserver.SmolLMModel, "DIRECT="+server.Address,
		"FRIDAY="+friday.Listen, "ADMIN="+friday.Admin)
}
