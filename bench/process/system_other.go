//go:build !linux

package process

import (
	"syscall"
	"time"
)

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// kill ends the group that the program with this id leads.
func kill(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

func cpuOf(int) time.Duration { return 0 }

func memoryOf(int) int64 { return 0 }

func group(leader int) []int { return []int{leader} }

func processor() string { return "unknown processor" }

// LoadAverage is negative: the system does not tell.
func LoadAverage() float64 { return -1 }

func peakOf(int) int64 { return 0 }
