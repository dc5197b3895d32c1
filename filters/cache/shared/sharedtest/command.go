package sharedtest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// conn is a connection. What is written to it is guarded by the server's mu.
type conn struct {
	net.Conn

	in   *bufio.Reader
	told []string // prefixes of the keys whose changes it is told
	in1  bool     // inside of MULTI
	held [][]string
	good bool // logged in
}

// read reads one command: an array of strings.
func (c *conn) read() ([]string, error) {
	n, err := c.number('*')
	if err != nil {
		return nil, err
	}
	command := make([]string, n)
	for i := range command {
		size, err := c.number('$')
		if err != nil {
			return nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(c.in, text); err != nil {
			return nil, err
		}
		command[i] = string(text[:size])
	}
	return command, nil
}

func (c *conn) number(kind byte) (int, error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, errors.New("not RESP: " + line)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

func (c *conn) push(keys string) { _, _ = io.WriteString(c, ">2\r\n"+bulk("invalidate")+keys) }

func bulk(text string) string { return "$" + strconv.Itoa(len(text)) + "\r\n" + text + "\r\n" }

const (
	ok   = "+OK\r\n"
	null = "_\r\n"
)

func fault(text string) string { return "-" + text + "\r\n" }

// answer answers a command. REQUIRES: mu is held.
func (s *Server) answer(c *conn, command []string) {
	name := strings.ToUpper(command[0])
	s.commands[name]++
	switch {
	case name == "MULTI":
		c.in1, c.held = true, nil
		_, _ = io.WriteString(c, ok)
	case name == "EXEC":
		var out strings.Builder
		out.WriteString("*" + strconv.Itoa(len(c.held)) + "\r\n")
		for _, held := range c.held {
			out.WriteString(s.do(c, held))
		}
		c.in1 = false
		_, _ = io.WriteString(c, out.String())
	case c.in1:
		c.held = append(c.held, command)
		_, _ = io.WriteString(c, "+QUEUED\r\n")
	default:
		_, _ = io.WriteString(c, s.do(c, command))
	}
}

func (s *Server) do(c *conn, command []string) string {
	name, args := strings.ToUpper(command[0]), command[1:]
	if name == "HELLO" {
		if s.password != "" && (len(args) < 4 || args[3] != s.password) {
			return fault("WRONGPASS invalid username-password pair or user is disabled.")
		}
		c.good = true
		return "%2\r\n" + bulk("version") + bulk("7.0.0") + bulk("proto") + ":3\r\n"
	}
	if !c.good {
		return fault("NOAUTH Authentication required.")
	}
	if s.refuses != "" && (name == "MGET" || name == "SET") {
		return fault(s.refuses)
	}
	switch name {
	case "PING":
		return "+PONG\r\n"
	case "CLIENT":
		return s.client(c, args)
	case "SELECT":
		return ok
	case "CLUSTER":
		return fault("ERR This instance has cluster support disabled")
	case "GET":
		return s.text(args[0])
	case "MGET":
		var out strings.Builder
		out.WriteString("*" + strconv.Itoa(len(args)) + "\r\n")
		for _, key := range args {
			out.WriteString(s.text(key))
		}
		return out.String()
	case "PTTL":
		v, there := s.get(args[0])
		switch {
		case !there:
			return ":-2\r\n"
		case v.until.IsZero():
			return ":-1\r\n"
		}
		return ":" + strconv.FormatInt(time.Until(v.until).Milliseconds(), 10) + "\r\n"
	case "SET":
		return s.write(args)
	}
	return fault("ERR unknown command '" + name + "'")
}

func (s *Server) client(c *conn, args []string) string {
	if strings.ToUpper(args[0]) != "TRACKING" {
		return ok
	}
	if s.Plain {
		return fault("ERR unknown subcommand 'TRACKING'")
	}
	for i := range args {
		if args[i] == "PREFIX" {
			c.told = append(c.told, args[i+1])
		}
	}
	return ok
}

func (s *Server) text(key string) string {
	if v, there := s.get(key); there {
		return bulk(v.text)
	}
	return null
}

func (s *Server) write(args []string) string {
	v := value{text: args[1]}
	for i := 2; i < len(args); i++ {
		switch strings.ToUpper(args[i]) {
		case "NX":
			if _, there := s.get(args[0]); there {
				return null
			}
		case "PX":
			i++
			ms, err := strconv.Atoi(args[i])
			if err != nil || ms <= 0 {
				return fault("ERR invalid expire time in 'set' command")
			}
			v.until = time.Now().Add(time.Duration(ms) * time.Millisecond)
		default:
			return fault("ERR syntax error")
		}
	}
	s.set(args[0], v)
	return ok
}
