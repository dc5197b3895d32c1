// Package strictjson decodes JSON into protobuf messages as protojson does
// (https://protobuf.dev/programming-guides/json/), but tells of everything that
// is wrong, each with the path of its field and its value. protojson stops at
// the first error and names the last part of the path only, which does not help
// whoever has to find it in a bootstrap of three hundred lines.
package strictjson
