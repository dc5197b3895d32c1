// Package admission is the filter friday.filters.http.admission: it decides who may send a
// request on, when, and who is told to come back later. In this order:
//
//   - whose is it? By API key, or by a header (tenant.go, keys.go);
//   - has its tenant any of its requests and tokens a minute left? (state.go; cost.go
//     estimates tokens);
//   - is there room in the server? Else it waits its turn, or is refused (door.go).
//
// Begin with admission.go. Package gate has what decides, without clocks and locks;
// refuse.go has the words.
package admission
