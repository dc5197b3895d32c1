package redis

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"time"

	redisv1 "github.com/fridaymesh/friday/xds/api/friday/redis/v1"
	"github.com/fridaymesh/friday/xds/api/settings"
)

// The defaults of [redisv1.Redis], and what bounds its fields.
const (
	defaultPrefix             = "friday:"
	defaultTimeout            = 10 * time.Millisecond
	leastTimeout, mostTimeout = time.Millisecond, time.Second
	mostDatabase              = 1 << 16
)

var prefixes = regexp.MustCompile(`^[A-Za-z0-9._:/-]{1,64}$`)

// OptionsOf reads a [redisv1.Redis]; nil: none. Errors name the field and the
// value.
func OptionsOf(m *redisv1.Redis) (*Options, error) {
	if m == nil {
		return nil, nil //nolint:nilnil // as the comment says
	}
	host, port, err := net.SplitHostPort(m.GetAddress())
	if err != nil || host == "" {
		return nil, fmt.Errorf("address: %q: must be host:port", m.GetAddress())
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("address: %q: port: must be 1 to 65535", m.GetAddress())
	}
	o := &Options{
		Address: m.GetAddress(), Prefix: m.GetPrefix(), Username: m.GetUsername(),
		PasswordFile: m.GetPasswordFile(), Database: int(m.GetDatabase()),
	}
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if !prefixes.MatchString(o.Prefix) {
		return nil, fmt.Errorf("prefix: %q: must be up to 64 of letters, digits and -._:/", o.Prefix)
	}
	if o.Timeout, err = settings.Duration("timeout", m.GetTimeout(), defaultTimeout); err != nil {
		return nil, err
	}
	if o.Timeout < leastTimeout || o.Timeout > mostTimeout {
		return nil, fmt.Errorf("timeout: %v: must be %v to %v", o.Timeout, leastTimeout, mostTimeout)
	}
	if o.Username != "" && o.PasswordFile == "" {
		return nil, fmt.Errorf("username: %q: needs password_file", o.Username)
	}
	if o.Database > mostDatabase {
		return nil, fmt.Errorf("database: %d: must be at most %d", o.Database, mostDatabase)
	}
	if t := m.GetTls(); t != nil {
		if (t.GetCertFile() == "") != (t.GetKeyFile() == "") {
			return nil, errors.New("tls: cert_file and key_file: both or none")
		}
		o.TLS = &TLS{CAFile: t.GetCaFile(), CertFile: t.GetCertFile(), KeyFile: t.GetKeyFile(), ServerName: t.GetServerName()}
	}
	return o, nil
}
