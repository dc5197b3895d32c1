package telemetry

import (
	"net"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/fridaymesh/friday/proxy"
)

// Relay is what is known of a connection that was relayed as bytes, once it has
// ended.
type Relay struct {
	Listener, Cluster, Upstream string
	Remote, Local               net.Addr
	// Received is what came from the caller, Sent what went to it.
	Received, Sent int64
	// Err is why it was not relayed, or was cut.
	Err      *proxy.Error
	Start    time.Time
	Duration time.Duration
}

// Relayed counts a connection, and logs it: always where all is set, else where it
// failed and failures is.
func (r *Recorder) Relayed(x *Relay, all, failures bool) {
	result := "ok"
	if x.Err != nil {
		result = "cut"
		if x.Received+x.Sent == 0 && x.Upstream == "" || x.Err.Flag == proxy.FlagUpstreamConnection {
			result = "failed"
		}
		r.metrics.Failures.WithLabelValues(x.Cluster, string(x.Err.Flag)).Inc()
	}
	r.metrics.TCPConnections.WithLabelValues(x.Listener, x.Cluster, result).Inc()
	r.metrics.TCPBytes.WithLabelValues(x.Cluster, "sent").Add(float64(x.Received))
	r.metrics.TCPBytes.WithLabelValues(x.Cluster, "received").Add(float64(x.Sent))
	log, level := r.all, zapcore.InfoLevel
	switch {
	case all:
	case x.Err == nil || !failures:
		return
	default:
		log, level = r.sampled, zapcore.WarnLevel
	}
	entry := log.Check(level, "connection")
	if entry == nil {
		return
	}
	fields := []zap.Field{
		zap.String(fieldProtocol, "tcp"),
		zap.String(FieldListener, x.Listener),
		zap.String(FieldCluster, x.Cluster),
		zap.Int64(fieldReceived, x.Received),
		zap.Int64(fieldSent, x.Sent),
		zap.Float64(fieldDuration, float64(x.Duration.Microseconds())/1000),
		zap.Stringer(fieldRemote, x.Remote),
		zap.String(fieldUpstream, x.Upstream),
	}
	if x.Err != nil {
		fields = append(fields, zap.String(fieldFlag, string(x.Err.Flag)), zap.String(fieldDetail, x.Err.Error()))
	}
	entry.Write(fields...)
}
