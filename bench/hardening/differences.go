package hardening

// Difference is what Envoy 1.40 does otherwise, with its own defaults, and why.
type Difference struct{ Envoy, Why string }

// Why Friday and Envoy differ. Envoy is what is compared with, not what is right: most
// of these are leave that the RFCs give a recipient, and Friday does not take.
const (
	lenientLine = "Envoy takes a bare LF for the end of a line, as RFC 9112 2.2 lets it. The server may not, and then reads other requests than the proxy does; nobody sends it by mistake"
	bareCR      = "Envoy replaces a bare CR in a value by a blank, as RFC 9112 2.2 lets it"
	blanks      = "Envoy forgives other blanks in the request line, as RFC 9112 3 lets it, and writes it anew"
	version     = "Envoy takes any version for HTTP/1.0 or 1.1 and closes the connection"
	methods     = "Envoy's parser knows a list of methods. Those of tomorrow are the server's to judge"
	fold        = "Envoy unfolds the line, as RFC 9112 5.2 lets it"
	manyHosts   = "Envoy joins the values with a comma. RFC 9112 3.2: a server MUST answer 400"
	user        = "Envoy hands the user on as part of the authority. RFC 9110 4.2.4: to be treated as an error"
	coding      = "Envoy answers 501 to every coding that is not exactly chunked. RFC 9112 6.3 asks for 400 where the length cannot be known; both close"
	extensions  = "Envoy reads extensions of any length over and over. Each byte of a body can then cost a thousand"
	strictChunk = "Envoy does not look at what stands between two chunks, or behind a size. Where the sizes are wrong, so is the body"
	trailing    = "Envoy drops trailers unread, unless it is told to pass them. Friday passes them, so it checks them"
)

// differences are by the case's name.
func differences() map[string]Difference {
	return map[string]Difference{
		"bare LF ends the request line":                  {passed, lenientLine},
		"bare LF ends a field":                           {passed, lenientLine},
		"bare LF ends the head":                          {passed, lenientLine},
		"bare CR in a field":                             {passed, bareCR},
		"two CRs before LF":                              {passed, bareCR},
		"two blanks before the target":                   {passed, blanks},
		"two blanks before the version":                  {passed, blanks},
		"tab after the method":                           {passed, blanks},
		"blank behind the version":                       {passed, blanks},
		"HTTP/1.2":                                       {"GET /a h", version},
		"HTTP/2.0 in a request line":                     {"GET /a h", version},
		"unknown method":                                 {"400", methods},
		"method in lower case is another method":         {"400", methods},
		"absolute form without a path":                   {"404 | END", "Envoy takes the query for the path and finds no route. RFC 9112 3.2.1: an empty path is /"},
		"absolute form, user in it":                      {passed, user},
		"longer than is read":                            {"431", "414 says what was too long (RFC 9112 3)"},
		"folded line":                                    {passed, fold},
		"two Hosts":                                      {"GET /a h,other | END", manyHosts},
		"the same Host twice":                            {"GET /a h,h | END", manyHosts},
		"Host with a user":                               {"GET /a u@h | END", user},
		"empty Host":                                     {"GET /a | END", "Envoy routes by an empty Host. Most servers refuse it"},
		"HTTP/1.0 without Host":                          {"400", "Envoy wants a default host for these. Friday gives the server its own address as Host, which HTTP/1.1 demands"},
		"HTTP/1.0, two Hosts":                            {"GET /a a,b", manyHosts},
		"length beyond the limit":                        {"TIMEOUT", "Envoy has no limit without a filter for it, and waits for the body"},
		"Transfer-Encoding in HTTP/1.0":                  {"POST /a h", "RFC 9112 6.1: to be treated as if the framing is faulty. Envoy closes the connection, but reads the body by it"},
		"identity":                                       {"501", coding},
		"chunked is not the last":                        {"501", coding},
		"chunked twice":                                  {"501", coding},
		"chunked on two lines":                           {"501", coding},
		"chunked in quotes":                              {"501", coding},
		"chunked with a parameter":                       {"501", coding},
		"chunk extension of megabytes":                   {received, extensions},
		"many chunks with extensions":                    {"POST /a h xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | END", extensions},
		"bare LF behind a chunk":                         {received, strictChunk},
		"blank behind a chunk size":                      {received, strictChunk},
		"chunk longer than its size":                     {"POST /a h hell | END", strictChunk},
		"chunk shorter than its size":                    {"POST /a h hello\r | END", strictChunk},
		"trailer with a length":                          {received, trailing},
		"folded trailer":                                 {received, trailing},
		"bare LF ends a trailer":                         {received, trailing},
		"too many trailers":                              {received, trailing},
		"a good one, then a bad one":                     {"GET /a h | GET /b h | END", lenientLine},
		"Keep-Alive, TE, Proxy-Connection go no further": {"GET /a h", "Envoy obeys Proxy-Connection: close, which was never a standard's"},
		"Expect: 100-continue in HTTP/1.0":               {"100 | MORE", "RFC 9110 10.1.1: a server MUST ignore it there"},
		"another expectation":                            {"POST /a h hello LEAKED expect: 200-ok | END", "Envoy hands it on. Friday, which answers expectations itself, says that it knows no such"},
		"preface of HTTP/2, half of it":                  {"", "Envoy closes without a word"},
	}
}
