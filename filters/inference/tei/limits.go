package tei

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fridaymesh/friday/filters/inference/wire"
)

var (
	_ wire.Limiter = Embed{}
	_ wire.Limiter = Predict{}
	_ wire.Limiter = Rerank{}
)

// Questions asks for /info.
func (Embed) Questions(wire.Target) []wire.Question { return Questions() }

// Questions asks for /info.
func (Predict) Questions(wire.Target) []wire.Question { return Questions() }

// Questions asks for /info.
func (Rerank) Questions(wire.Target) []wire.Question { return Questions() }

// Questions asks for /info, whatever is asked of the server: it has one model.
func Questions() []wire.Question { return []wire.Question{{Path: "/info", Read: readInfo}} }

// readInfo reads what TEI says of itself. It refuses calls with more than
// max_client_batch_size inputs with 413, and batches what waits by tokens.
func readInfo(body []byte) (wire.Limits, error) {
	var info struct {
		ModelID   *string         `json:"model_id"`
		ModelType json.RawMessage `json:"model_type"`
		Most      int             `json:"max_client_batch_size"`
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return wire.Limits{}, fmt.Errorf("/info: %w", err)
	}
	if info.ModelID == nil || info.ModelType == nil || info.Most < 1 {
		return wire.Limits{}, errors.New("/info has no model_id, model_type and max_client_batch_size, as TEI's has")
	}
	return wire.Limits{MaxItems: info.Most, Batchable: wire.BatchableYes, SelfBatching: true}, nil
}
