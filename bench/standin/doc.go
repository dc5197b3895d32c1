// Package standin is a model server's stand-in for tests and measurements: it
// speaks the wire protocols of real servers and has what they have, an
// accelerator that runs one call at a time at a cost of a + b·n for n items, but
// no model.
//
// What it answers is a function of what it was asked, item by item, so that an
// answer that went to the wrong caller, lost an item or changed the text of a
// number is found out. [Embedding], [Completion], [Relevance], [Prediction],
// [RowSum] and [ChatToken] are these functions. An item that contains the word
// "poison" fails its whole call with 400, one with "poison500", or another status,
// with that, as an over-long text does on real servers; in rows of numbers -666
// and -667 mean 400 and 500. An item that contains "hangforever", or -668, is
// never answered. Models misbehave by their name: see [Odd]. Credentials are
// refused that are [Expired] or [Forbidden].
//
// Spoken are, under these paths and no others, byte for byte but for
// percent-encoding:
//
//	OpenAI                       /v1/embeddings /v1/completions /v1/chat/completions /v1/models
//	Jina, Cohere, vLLM           /v1/rerank /v2/rerank /rerank /score /v1/score
//	text-embeddings-inference    /embed /predict /rerank /tokenize /info
//	vLLM, llama.cpp              /tokenize
//	KServe V1, TF Serving        /v1/models/{model}:predict (rows, columns) :explain
//	TorchServe                   /predictions/{model}
//	Open Inference (KServe V2)   /v2/…/infer in JSON and with binary tensors, metadata, health
//	the same over gRPC           ModelInfer, on the same port, HTTP/2 by prior knowledge
//
// GET /stats tells what the server did, [Stats] in JSON; /metrics the same for
// Prometheus. POST /cost changes what calls cost while it runs.
//
// A caller that closes its connection stops the work that was done for it,
// whether it was queued, running, thinking or streaming, and is counted as
// cancelled.
package standin
