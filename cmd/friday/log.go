package main

import (
	"errors"
	"os"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logs writes JSON lines: what happens to stderr, the access log to stdout.
type logs struct {
	level  zap.AtomicLevel
	log    *zap.Logger
	access *zap.Logger
}

func newLogs(level string) (*logs, error) {
	at, err := zap.ParseAtomicLevel(level)
	if err != nil {
		return nil, err
	}
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey, enc.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	json := zapcore.NewJSONEncoder(enc)
	access := &zapcore.BufferedWriteSyncer{WS: zapcore.Lock(os.Stdout)}
	return &logs{
		level:  at,
		log:    zap.New(zapcore.NewCore(json, zapcore.Lock(os.Stderr), at)),
		access: zap.New(zapcore.NewCore(json.Clone(), access, zapcore.InfoLevel)).Named("access"),
	}, nil
}

// flush writes what is buffered. A terminal or a pipe cannot be synced, which is
// no failure.
func (l *logs) flush() error {
	err := errors.Join(l.access.Sync(), l.log.Sync())
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTTY) || errors.Is(err, syscall.EBADF) {
		return nil
	}
	return err
}
