package takeover

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// protocol is the version of what is spoken.
const protocol = 1

// The questions.
const (
	askHello = "hello" // who are you
	askTake  = "take"  // the socket of a name
	askRest  = "rest"  // one that has not been given yet
	askReady = "ready" // the successor serves
)

// message is a question, or its answer.
type message struct {
	Ask      string `json:"ask,omitempty"`
	Protocol int    `json:"protocol,omitempty"`
	PID      int    `json:"pid,omitempty"`
	Name     string `json:"name,omitempty"`
	Found    bool   `json:"found,omitempty"`
	Error    string `json:"error,omitempty"`
}

// maxMessage bounds a line.
const maxMessage = 4 << 10

// send writes m, and s's descriptor with it where s is not nil.
func send(c *net.UnixConn, m message, s syscall.Conn) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if len(line) > maxMessage {
		return fmt.Errorf("message of %d bytes", len(line))
	}
	if s == nil {
		_, err = c.Write(line)
		return err
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var werr error
	err = raw.Control(func(fd uintptr) {
		_, _, werr = c.WriteMsgUnix(line, syscall.UnixRights(int(fd)), nil) // #nosec G115 -- a descriptor is small
	})
	return errors.Join(err, werr)
}

// receive reads one message, and the file that has come with it, if any.
func receive(c *net.UnixConn) (m message, f *os.File, err error) {
	line, oob := make([]byte, 0, maxMessage), make([]byte, syscall.CmsgSpace(4))
	defer func() {
		if err != nil && f != nil {
			err = errors.Join(err, f.Close())
			f = nil
		}
	}()
	for len(line) == 0 || line[len(line)-1] != '\n' {
		if len(line) == cap(line) {
			return m, f, errors.New("a line that does not end")
		}
		n, oobn, _, _, err := c.ReadMsgUnix(line[len(line):cap(line)], oob)
		if err != nil {
			return m, f, err
		}
		if n == 0 {
			return m, f, net.ErrClosed
		}
		line = line[:len(line)+n]
		if oobn > 0 && f == nil {
			if f, err = file(oob[:oobn]); err != nil {
				return m, f, err
			}
		}
	}
	return m, f, decode(line, &m)
}

// decode is pure.
func decode(line []byte, m *message) error { return json.Unmarshal(line, m) }

// file is the descriptor in a control message.
func file(oob []byte) (*os.File, error) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("no control message"), err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("not one descriptor"), err)
	}
	syscall.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "taken over"), nil // #nosec G115 -- a descriptor is small
}
