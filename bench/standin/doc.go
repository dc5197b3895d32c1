// Package standin is a model server's stand-in for tests and measurements: it
// speaks the wire protocols of real servers and has what they have, an
// accelerator that runs one call at a time at a cost of a + b·n for n items, but
// no model.
//
// What it answers is a function of what it was asked, item by item, so that an
// answer that went to the wrong caller, lost an item or changed the text of a
// number is found out. [Embedding], [Prediction], [RowSum] and [ChatToken] are
// these functions. An item that contains the word "poison" fails its whole call
// with 400, one with "poison500" with 500, as an over-long text does on real
// servers; in rows of numbers -666 and -667 mean the same.
//
// Spoken are OpenAI's /v1/embeddings, /v1/chat/completions (streamed or not) and
// /v1/models, KServe V1's /v1/models/{model}:predict, and of the Open Inference
// Protocol (KServe V2) the health, metadata and infer calls over REST with JSON
// tensors. /stats tells what the server did, [Stats] in JSON; /metrics the same
// for Prometheus.
//
// A caller that closes its connection stops the work that was done for it,
// whether it was queued, running, thinking or streaming, and is counted as
// cancelled.
package standin
