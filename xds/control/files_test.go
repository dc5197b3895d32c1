package control

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each round is the folder as it then is: file name -> text.
func TestFileSetRounds(t *testing.T) {
	type round struct {
		files   map[string]string
		inForce string // name@port, sorted
		refused string // what the problems hold, a line each
		changed string // files
	}
	on := func(name, port string) string { return doc(name, "  port: "+port+"\n") }
	const (
		faulty = "kind: Nothing\n"
		vision = "  selector: {node_cluster: vision}\n"
		search = "  selector: {node_cluster: search}\n"
	)
	for name, rounds := range map[string][]round{
		"comes, changes, goes": {
			{map[string]string{"a": on("x", "1")}, "x@1", "", "a"},
			{map[string]string{"a": on("x", "1")}, "x@1", "", ""},
			{map[string]string{"a": on("x", "2")}, "x@2", "", "a"},
			{map[string]string{}, "", "", ""},
		},
		"a faulty file keeps its last good policies": {
			{map[string]string{"a": on("x", "1") + "---\n" + on("y", "2"), "b": on("z", "3")}, "x@1 y@2 z@3", "", "a b"},
			{map[string]string{"a": on("x", "9") + "---\n" + faulty, "b": on("z", "4")}, "x@1 y@2 z@4", "a:8: kind: ", "a b"},
			{map[string]string{"a": on("x", "9") + "---\n" + faulty, "b": on("z", "4")}, "x@1 y@2 z@4", "a:8: kind: ", ""},
			{map[string]string{"a": on("x", "9"), "b": on("z", "4")}, "x@9 z@4", "", "a"},
		},
		"a faulty file that goes takes its policies with it": {
			{map[string]string{"a": on("x", "1")}, "x@1", "", "a"},
			{map[string]string{"a": faulty}, "x@1", "a:1: kind: ", "a"},
			{map[string]string{}, "", "", ""},
		},
		"a file being written": {
			{map[string]string{"a": on("x", "1")}, "x@1", "", "a"},
			{map[string]string{"a": " \n"}, "x@1", "a: empty", "a"},
			{map[string]string{"a": on("x", "1")}, "x@1", "", "a"},
			{map[string]string{"a": "# all gone\n"}, "x@1", "a: empty", "a"},
			{map[string]string{"a": "# all gone\n"}, "x@1", "a: empty", ""},
			{map[string]string{"a": "---\n---\n# nothing\n"}, "x@1", "a: empty", "a"},
			{map[string]string{"a": on("x", "2")}, "x@2", "", "a"},
			{map[string]string{}, "", "", ""},
			{map[string]string{"a": "# to come\n"}, "", "", "a"},
			{map[string]string{"a": ""}, "", "", "a"},
		},
		"a file that cannot be read": {
			{map[string]string{"a": on("x", "1")}, "x@1", "", "a"},
			{map[string]string{"a": "!"}, "x@1", "a: cannot be read", "a"},
			{map[string]string{"a": on("x", "1")}, "x@1", "", "a"},
		},
		"of two new ones the later is refused": {
			{map[string]string{"a": on("x", "1"), "b": on("y", "1")}, "x@1", `b:6: spec.port: 0.0.0.0:1: policy "x" (a:6) listens there`, "a b"},
			{map[string]string{"a": on("x", "2"), "b": on("y", "1")}, "x@2 y@1", "", "a b"},
		},
		"the one that was there stays": {
			{map[string]string{"b": on("y", "1")}, "y@1", "", "b"},
			{map[string]string{"a": on("x", "1"), "b": on("y", "1")}, "y@1", `a:6: spec.port: 0.0.0.0:1: policy "y" (b:6)`, "a"},
			{map[string]string{"a": on("x", "1")}, "x@1", "", "a"},
		},
		"names": {
			{map[string]string{"a": on("x", "1"), "b": on("x", "2")}, "x@1", `b:3: metadata.name: "x": is the name of another policy, at a:3`, "a b"},
		},
		"a selector that comes to overlap": {
			{map[string]string{"a": on("x", "1") + vision, "b": on("y", "1") + search}, "x@1 y@1", "", "a b"},
			{map[string]string{"a": on("x", "1") + vision, "b": on("y", "1") + vision}, "x@1 y@1", `b:6: spec.port: 0.0.0.0:1: policy "x" (a:6) listens there`, "b"},
			{map[string]string{"a": on("x", "1") + vision, "b": on("y", "1")}, "x@1 y@1", `b:6: spec.port: 0.0.0.0:1: policy "x" (a:6) listens there`, "b"},
			{map[string]string{"a": on("x", "1") + search, "b": on("y", "1") + vision}, "x@1 y@1", "", "a b"},
		},
		"within a file": {
			{map[string]string{"a": on("x", "1") + "---\n" + on("y", "1")}, "", "a:13: spec.port: 0.0.0.0:1: ", "a"},
		},
		"moved to another file": {
			{map[string]string{"b": on("x", "1")}, "x@1", "", "b"},
			{map[string]string{"a": on("x", "1")}, "x@1", "", "a"},
		},
		"ports changed over": {
			{map[string]string{"a": on("x", "1"), "b": on("y", "2")}, "x@1 y@2", "", "a b"},
			{map[string]string{"a": on("x", "2"), "b": on("y", "1")}, "x@2 y@1", "", "a b"},
		},
		"a refusal that makes another": {
			{map[string]string{"a": on("x", "1"), "b": on("y", "2"), "c": on("z", "3")}, "x@1 y@2 z@3", "", "a b c"},
			// c takes b's port and b that of a, which stays: so b stays, so c does.
			{
				map[string]string{"a": on("x", "1"), "b": on("y", "1"), "c": on("z", "2")},
				"x@1 y@2 z@3",
				"b:6: spec.port: 0.0.0.0:1: policy \"x\"\nc:6: spec.port: 0.0.0.0:2: policy \"y\"", "b c",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var set fileSet
			c := compiler()
			for i, r := range rounds {
				var list []source
				for _, path := range []string{"a", "b", "c"} {
					if text, ok := r.files[path]; ok {
						s := source{path: path, data: []byte(text)}
						if text == "!" {
							s = source{path: path, err: errors.New("cannot be read")}
						}
						list = append(list, s)
					}
				}
				var changed []string
				set, changed = set.next(list, c)
				var inForce []string
				for _, p := range set.inForce() {
					inForce = append(inForce, strings.Replace(p.Name()+"@"+listens(p.Policy), "0.0.0.0 port ", "", 1))
				}
				require.Equal(t, r.inForce, strings.Join(inForce, " "), "round %d", i)
				require.Equal(t, r.changed, strings.Join(changed, " "), "round %d", i)
				problems := set.problems()
				want := strings.Split(r.refused, "\n")
				if r.refused == "" {
					want = nil
				}
				require.Len(t, problems, len(want), "round %d: %v", i, problems)
				for j, w := range want {
					require.Contains(t, problems[j].Error(), w, "round %d", i)
				}
			}
		})
	}
}
