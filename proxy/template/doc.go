// Package template writes what templates in the language of text/template say, without the
// one thing that makes that package dear in a small program: it finds methods by their names,
// so that the linker has to keep every exported method of everything, a quarter of the
// program. Here a template reaches the keys of maps, the fields of structs and the functions
// that it is lent, and no methods. What it writes and how often its loops turn can be bounded.
//
// https://pkg.go.dev/text/template is the language. It is parsed by that package's own
// parser, and says the same here (template_test.go compares), but for
//   - methods, channels, functions as values and complex numbers, which are not there;
//   - a key that is not in its map, which is an error, as with missingkey=error;
//   - a json.Number, which is a number beside numbers, a text beside texts, and false where it
//     is 0;
//   - what is written by an action, which a Writer escapes for where it goes.
package template
