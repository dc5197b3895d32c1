package openinference

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/fridaymesh/friday/filters/inference/wire"
)

var _ wire.Limiter = Protocol{}

// Questions asks for Triton's configuration of the model
// (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_configuration.md),
// which other servers do not have, then for the protocol's own metadata.
func (Protocol) Questions(target wire.Target) []wire.Question {
	path := "/v2/models/" + url.PathEscape(target.Model)
	if target.Version != "" {
		path += "/versions/" + target.Version
	}
	return []wire.Question{{Path: path + "/config", Read: readConfig}, {Path: path, Read: readMetadata}}
}

// readConfig reads Triton's model configuration. A model with max_batch_size 0 has
// no batch dimension; one with sequence batching keeps state between calls; one
// whose transactions are decoupled may answer more or less than once.
func readConfig(body []byte) (wire.Limits, error) {
	var config struct {
		MaxBatchSize *int            `json:"max_batch_size"`
		Dynamic      json.RawMessage `json:"dynamic_batching"`
		Sequence     json.RawMessage `json:"sequence_batching"`
		Transaction  struct {
			Decoupled bool `json:"decoupled"`
		} `json:"model_transaction_policy"`
	}
	if err := json.Unmarshal(body, &config); err != nil {
		return wire.Limits{}, fmt.Errorf("the model's configuration: %w", err)
	}
	if config.MaxBatchSize == nil || *config.MaxBatchSize < 0 {
		return wire.Limits{}, errors.New("the model's configuration has no max_batch_size")
	}
	limits := wire.Limits{MaxItems: *config.MaxBatchSize, Batchable: wire.BatchableYes, SelfBatching: given(config.Dynamic)}
	if limits.MaxItems == 0 || given(config.Sequence) || config.Transaction.Decoupled {
		limits = wire.Limits{MaxItems: 1, Batchable: wire.BatchableNo, SelfBatching: limits.SelfBatching}
	}
	return limits, nil
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// readMetadata reads the protocol's model metadata
// (https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md#model-metadata-response-json-object):
// where every input's first dimension is variable (-1), it counts items. Servers that
// do not know their models' shapes (MLServer, mostly) leave the inputs out.
func readMetadata(body []byte) (wire.Limits, error) {
	var metadata struct {
		Name   *string `json:"name"`
		Inputs []struct {
			Shape []int64 `json:"shape"`
		} `json:"inputs"`
	}
	if err := json.Unmarshal(body, &metadata); err != nil {
		return wire.Limits{}, fmt.Errorf("the model's metadata: %w", err)
	}
	if metadata.Name == nil {
		return wire.Limits{}, errors.New("the model's metadata has no name")
	}
	limits := wire.Limits{}
	for _, input := range metadata.Inputs {
		if len(input.Shape) == 0 {
			return wire.Limits{}, nil
		}
		if input.Shape[0] >= 0 {
			return wire.Limits{MaxItems: 1, Batchable: wire.BatchableNo}, nil
		}
		limits.Batchable = wire.BatchableYes
	}
	return limits, nil
}
