package process

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
)

// attributes put the program into a group of its own, and let the kernel end it
// where its starter is killed and can end nothing any more.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// kill ends the group that the program with this id leads.
func kill(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// cpuOf reads /proc/PID/stat (proc_pid_stat(5)): fields 14 and 15, in the 1/100 s
// that Linux uses on every machine that Go runs on.
func cpuOf(pid int) time.Duration {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The program's name, in parentheses, may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(string(fields[11]), 10, 64)
	system, _ := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// processor is the model name of the first core.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	name := "unknown processor"
	for line := range bytes.Lines(info) {
		if key, value, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(key)) == "model name" {
			name = string(bytes.TrimSpace(value))
			break
		}
	}
	return name
}

// LoadAverage is how many tasks ran or waited to run over the last minute; a
// negative number where the system does not tell.
func LoadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return -1
	}
	one, _, _ := bytes.Cut(text, []byte(" "))
	load, err := strconv.ParseFloat(string(one), 64)
	if err != nil {
		return -1
	}
	return load
}

// memoryOf reads /proc/PID/status (proc_pid_status(5)): VmRSS and VmHWM, in KiB.
func memoryOf(pid int) (now, peak int64) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0
	}
	for line := range bytes.Lines(status) {
		key, value, _ := bytes.Cut(line, []byte(":"))
		kib, _ := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB"))), 10, 64)
		switch string(key) {
		case "VmRSS":
			now = kib << 10
		case "VmHWM":
			peak = kib << 10
		}
	}
	return now, peak
}
