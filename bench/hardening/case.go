package hardening

// Case is one request, or several on one connection.
type Case struct {
	Name string
	// Raw is what is sent; Probe follows at once, on the same connection.
	Raw string
	// Rule is what says so: a section of an RFC, or "own" where the RFC leaves the
	// choice and the stricter one was taken.
	Rule string
	// Want are the answers until the connection ends, with " | " between them: a
	// status where the proxy answers itself, else what the server read: method,
	// target, Host and body. "END" is the server's answer to Probe: the connection
	// has gone on in step.
	Want string
}

// Probe asks for the end. Wherever it is part of the request before it, or is not
// read, there is no END.
const Probe = "GET /end HTTP/1.1\r\nHost: end\r\nConnection: close\r\n\r\n"

const (
	get     = "GET /a HTTP/1.1\r\nHost: h\r\n"
	post    = "POST /a HTTP/1.1\r\nHost: h\r\n"
	chunked = post + "Transfer-Encoding: chunked\r\n\r\n"
	last    = "0\r\n\r\n"
	hidden  = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"

	passed   = "GET /a h | END" // #nosec G101 -- no password
	received = "POST /a h hello | END"
)

// Cases are all of them.
func Cases() []Case {
	var all []Case
	for _, part := range [][]Case{lines(), targets(), fields(), hosts(), lengths(), chunks(), trailers(), connections()} {
		all = append(all, part...)
	}
	return all
}
