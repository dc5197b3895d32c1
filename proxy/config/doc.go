// Package config is the configuration as the data plane means it: parsed,
// typed, references by name, free of any wire format. [Build] validates it whole
// and compiles it into a [Snapshot].
package config
