package main

import (
	"context"
	"fmt"

	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/questions"
	"github.com/fridaymesh/friday/bench/realserver"
)

// choice is a server that can be chosen, with its models, the usual one first, and
// the forms of the Open Inference Protocol that it speaks.
type choice struct {
	models, forms []string
	start         func(ctx context.Context, b *bench) (*subject, error)
}

func choices() map[string]choice {
	return map[string]choice{
		"mlserver": {
			models: []string{realserver.DigitsModel, realserver.DigitsBatchingModel, realserver.DigitsVectorModel},
			// Its REST answers binary tensors with 500.
			forms: []string{questions.FormJSON, questions.FormGRPC},
			start: startMLServer,
		},
		"triton": {
			models: []string{realserver.PerceptronModel, realserver.PerceptronBatchingModel},
			forms:  []string{questions.FormJSON, questions.FormBinary, questions.FormGRPC},
			start:  startTriton,
		},
		"llama": {
			models: []string{realserver.MiniLMModel},
			forms:  []string{questions.FormJSON},
			start:  startLlama,
		},
		serverOwn: {
			forms: []string{questions.FormJSON},
			start: takeOwn,
		},
	}
}

// serverOwn is the server that --upstream says.
const serverOwn = "own"

// subject is the server that is asked, and the questions.
type subject struct {
	*realserver.Server
	title   string
	address string // of the API that is spoken
	list    *questions.List
	// executed is the server's own count of what the model ran; nil: it has none.
	executed func(context.Context) (exposition.Batches, error)
}

func (b *bench) progress(line string) { b.say("  %s", line) }

func startMLServer(ctx context.Context, b *bench) (*subject, error) {
	assets, err := realserver.Prepare(ctx, b.progress)
	if err != nil {
		return nil, err
	}
	rows := make([][]float32, len(assets.Digits.Rows))
	for i, row := range assets.Digits.Rows {
		for _, v := range row {
			rows[i] = append(rows[i], float32(v))
		}
	}
	list, err := questions.Rows(b.form, b.model, "predict", "", rows)
	if err != nil {
		return nil, err
	}
	s, err := assets.Start(ctx, b.group, b.scratch)
	if err != nil {
		return nil, err
	}
	return &subject{
		Server: s, address: b.address(s), list: list,
		title: fmt.Sprintf("MLServer 1.7.1, %s, one digit a request, %s", b.model, b.spoken()),
	}, nil
}

func startTriton(ctx context.Context, b *bench) (*subject, error) {
	triton, err := realserver.PrepareTriton(ctx, b.progress)
	if err != nil {
		return nil, err
	}
	list, err := questions.Rows(b.form, b.model, realserver.PerceptronInput, realserver.PerceptronOutput,
		questions.RandomRows(200, realserver.PerceptronInputs))
	if err != nil {
		return nil, err
	}
	s, err := triton.Start(ctx, b.group)
	if err != nil {
		return nil, err
	}
	return &subject{
		Server: s, address: b.address(s), list: list,
		title:    fmt.Sprintf("Triton (of PyTriton 0.7.0), %s, one row a request, %s", b.model, b.spoken()),
		executed: func(ctx context.Context) (exposition.Batches, error) { return s.Executed(ctx, b.model) },
	}, nil
}

func startLlama(ctx context.Context, b *bench) (*subject, error) {
	llama, err := realserver.PrepareLlama(ctx, b.progress)
	if err != nil {
		return nil, err
	}
	list, err := questions.Texts(realserver.MiniLMModel, questions.Sentences(200))
	if err != nil {
		return nil, err
	}
	// ggml takes GELU from a table in half precision, so what is computed together
	// shows in the fifth digit also where nobody stands before the server: it batches
	// what comes at the same time.
	list.Tolerance = 1e-4
	s, err := llama.Start(ctx, b.group)
	if err != nil {
		return nil, err
	}
	return &subject{
		Server: s, address: s.Address, list: list,
		title: "llama.cpp's server, all-MiniLM-L6-v2 in single precision, one text a request, OpenAI embeddings",
	}, nil
}

// takeOwn asks a server that is there already.
func takeOwn(_ context.Context, b *bench) (*subject, error) {
	list, err := questions.Texts(b.model, questions.Sentences(200))
	if err != nil {
		return nil, err
	}
	list.Tolerance = b.tolerance
	return &subject{
		Server: &realserver.Server{Address: b.upstream}, address: b.upstream, list: list,
		title: fmt.Sprintf("%s, %s, one text a request, OpenAI embeddings", b.upstream, b.model),
	}, nil
}

// address is that of the API which is spoken.
func (b *bench) address(s *realserver.Server) string {
	if b.form == questions.FormGRPC {
		return s.GRPC
	}
	return s.Address
}

func (b *bench) spoken() string {
	return map[string]string{
		questions.FormJSON:   "Open Inference Protocol, JSON",
		questions.FormBinary: "Open Inference Protocol, binary tensors",
		questions.FormGRPC:   "Open Inference Protocol, gRPC with raw contents",
	}[b.form]
}
