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

// group is the processes of the group that leader leads.
func group(leader int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []int{leader}
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fields := stat(pid); len(fields) > 2 && string(fields[2]) == strconv.Itoa(leader) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat reads /proc/PID/stat (proc_pid_stat(5)) from its third field on; nil where there is
// no such process.
func stat(pid int) [][]byte {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	// The program's name, in parentheses, may hold anything.
	return bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
}

// cpuOf is fields 14 and 15, in the 1/100 s that Linux uses on every machine that Go runs
// on.
func cpuOf(pid int) time.Duration {
	fields := stat(pid)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(string(fields[11]), 10, 64)
	system, _ := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memoryOf is field 24, in pages.
func memoryOf(pid int) int64 {
	fields := stat(pid)
	if len(fields) < 22 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[21]), 10, 64)
	return pages * int64(os.Getpagesize())
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

// peakOf reads VmHWM, in KiB, from /proc/PID/status (proc_pid_status(5)).
func peakOf(pid int) int64 {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, _ := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB"))), 10, 64)
			return kib << 10
		}
	}
	return 0
}
