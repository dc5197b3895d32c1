package bootstrap

import (
	"errors"
	"fmt"
	"os"

	_ "github.com/cncf/xds/go/udpa/type/v1" // TypedStruct, in typed_config
	_ "github.com/cncf/xds/go/xds/type/v3"  // the other TypedStruct
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"                     // in typed_config
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3" // in typed_config
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"                          // in typed_config
	"sigs.k8s.io/yaml"

	"github.com/fridaymesh/friday/xds/api/strictjson"
)

// MaxFileSize bounds a bootstrap file.
const MaxFileSize = 16 << 20

var errEmpty = errors.New("empty: no bootstrap in it")

// Load reads a bootstrap file, YAML or JSON (which is YAML). It does not say
// whether the bootstrap means something; [Compile] does. The error joins a line
// for each field that is wrong, with the file, the field's path and the value.
func Load(path string) (*bootstrapv3.Bootstrap, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	if info.Size() > MaxFileSize {
		return nil, fmt.Errorf("%s: %d bytes: more than %d", path, info.Size(), MaxFileSize)
	}
	data, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	b, err := Decode(data)
	if err != nil {
		return nil, InFile(path, err)
	}
	return b, nil
}

// Decode is [Load] of a file's content.
func Decode(data []byte) (*bootstrapv3.Bootstrap, error) {
	jsonData, err := yaml.YAMLToJSONStrict(data) // strict: a key that is there twice is an error
	if err != nil {
		return nil, fmt.Errorf("not valid YAML: %w", err)
	}
	if string(jsonData) == "null" {
		return nil, errEmpty
	}
	b := new(bootstrapv3.Bootstrap)
	if err := strictjson.Unmarshal(jsonData, b); err != nil {
		return nil, err
	}
	return b, nil
}

// InFile puts a file's name before each of the errors that err joins.
func InFile(path string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error }) // what errors.Join made
	if !ok {
		return fmt.Errorf("%s: %w", path, err)
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, InFile(path, e))
	}
	return errors.Join(errs...)
}
