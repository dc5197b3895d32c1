package standin

import (
	"encoding/json"
	"strconv"
)

// openError is an error in OpenAI's shape, which vLLM has too.
func openError(status int, message string) []byte {
	kind := "invalid_request_error"
	if status >= 500 {
		kind = "server_error"
	}
	return []byte(`{"error":{"message":` + quote(message) + `,"type":"` + kind + `","code":` + strconv.Itoa(status) + `}}`)
}

// plainError is an error as KServe's servers, TF Serving and Triton write it.
func plainError(_ int, message string) []byte { return []byte(`{"error":` + quote(message) + `}`) }

// teiError is an error as text-embeddings-inference writes it.
func teiError(status int, message string) []byte {
	kind := "Validation"
	if status >= 500 {
		kind = "Backend" // sic, on the wire
	}
	return []byte(`{"error":` + quote(message) + `,"error_type":"` + kind + `"}`)
}

// torchError is an error as TorchServe writes it.
func torchError(status int, message string) []byte {
	return []byte(`{"code":` + strconv.Itoa(status) + `,"type":"PredictionException","message":` + quote(message) + `}`)
}

// quote is s as a JSON text.
func quote(s string) string {
	q, err := json.Marshal(s)
	if err != nil {
		return `""` // strings always marshal
	}
	return string(q)
}
