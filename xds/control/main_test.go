package control

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/xds/control/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// doc is a policy's text. spec is added to it, in lines that begin with two
// spaces.
func doc(name, spec string) string {
	return "apiVersion: friday.dev/v1alpha1\nkind: InferencePolicy\nmetadata: {name: " + name + "}\nspec:\n" +
		"  server: {endpoints: [\"127.0.0.1:8080\"]}\n" + spec
}

func compiler() *Compiler { return NewCompiler(standard.Registry(), "mesh.test") }

// compiled is the policies of a text.
func compiled(t *testing.T, text string) []*Compiled {
	t.Helper()
	list, err := policy.Decode("a.yaml", []byte(text))
	require.NoError(t, err)
	var out []*Compiled
	for _, p := range list {
		c, err := compiler().Compile(p)
		require.NoError(t, err)
		out = append(out, c)
	}
	return out
}
