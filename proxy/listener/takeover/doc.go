// Package takeover hands listening sockets from a process to its successor, so that a
// program can be replaced without refusing a connection.
//
// The older process listens on a unix socket (Offer). The newer one connects to it
// (Take), and gets the descriptor of each address that it is about to listen on
// (SCM_RIGHTS): of the same socket, so that whoever waits in its queue is served by
// one or the other. When it serves, it gets what it has not asked for (Rest) and says
// so (Ready); the older one then stops accepting and ends what it has begun. Where the
// newer one ends before that, nothing has happened.
//
// The two speak in lines of JSON, a question and an answer at a time, at most one
// descriptor with an answer. Either believes only a process of its own user, or root.
package takeover
