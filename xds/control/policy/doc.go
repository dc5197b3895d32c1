// Package policy reads the files that people write: YAML or JSON documents of
// kind InferencePolicy (friday.policy.v1alpha1). It knows for every value the
// file and line that it stands on, finds all problems of a file in one go, and
// says of each what would be right.
//
// Field names may be written as in the proto (max_batch_size) or as JSON has
// them (maxBatchSize). Durations are written as Go writes them: 5ms, 1h30m,
// 0.005s. YAML aliases are followed within bounds; merge keys are refused.
package policy
