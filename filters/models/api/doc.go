// Package api knows how model servers are told to load and unload, and how they say what
// they have: the Open Inference Protocol's model repository (Triton, MLServer), TorchServe's
// management, Ollama, vLLM, llama.cpp's router, and those that only tell their health. Begin
// reading at [API].
package api
