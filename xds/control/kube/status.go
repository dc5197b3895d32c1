package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fridaymesh/friday/xds/control"
)

// Status is what a policy is told.
type Status struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Version is what is served.
	Version string `json:"version,omitempty"`
	// Sidecars is how many of them run what is served: "2/3".
	Sidecars   string             `json:"sidecars,omitempty"`
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Reports are of each fridayd, of the sidecars that are connected to it.
	Reports []Report `json:"reports,omitempty"`
}

// Report is what one fridayd knows.
type Report struct {
	Name string      `json:"name"`
	Time metav1.Time `json:"time"`
	// Connected sidecars are of the policy; Current run what is served, Refused say why
	// they do not.
	Connected int    `json:"connected"`
	Current   int    `json:"current"`
	Refused   int    `json:"refused"`
	Words     string `json:"words,omitempty"`
}

// The conditions, and their reasons.
const (
	// ConditionAccepted: the policy is in order.
	ConditionAccepted = "Accepted"
	// ConditionProgrammed: the sidecars run it.
	ConditionProgrammed = "Programmed"

	reasonValid        = "Valid"
	reasonInvalid      = "Invalid"
	reasonAcknowledged = "Acknowledged"
	reasonPending      = "Pending"
	reasonRefused      = "Refused"
	reasonNoSidecars   = "NoSidecars"
	reasonHeld         = "RolledBack"
)

const (
	// heartbeat is how often a report is renewed where there are others; what is three
	// times as old is of a fridayd that is no more.
	heartbeat = time.Minute
	expiry    = 3 * heartbeat
	// maxWords bounds what a status repeats, in bytes.
	maxWords    = 4 << 10
	callTimeout = 10 * time.Second
)

// tell writes the status of each policy that has another one now.
func (s *Source) tell(ctx context.Context) {
	reports := s.reports()
	served := map[string]control.PolicyStatus{}
	for _, p := range s.View(s.Status()) {
		served[p.File] = p
	}
	s.mu.Lock()
	entries := slices.SortedFunc(maps.Values(s.entries), func(a, b *entry) int { return cmp.Compare(a.file(), b.file()) })
	s.mu.Unlock()
	for _, e := range entries {
		if ctx.Err() != nil {
			return
		}
		own := reports[e.name+"."+e.namespace]
		own.Name = s.Name
		if err := s.write(ctx, e, own, served[e.file()]); err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			s.Log.Warn("a policy's status cannot be written", zap.String("policy", e.file()), zap.Error(err))
		}
	}
}

// reports are of this fridayd's sidecars, by policy.
func (s *Source) reports() map[string]Report {
	all := map[string]Report{}
	for _, n := range s.Nodes() {
		for _, run := range n.Running {
			r := all[run.Policy]
			r.Connected++
			switch run.State {
			case control.RunsCurrent:
				r.Current++
			case control.RunsRefused:
				r.Refused++
				r.Words = max(r.Words, n.ID+": "+run.Error) // one of them, always the same
			}
			all[run.Policy] = r
		}
	}
	return all
}

func (s *Source) write(ctx context.Context, e *entry, own Report, served control.PolicyStatus) error {
	object, err := s.policies.ByNamespace(e.namespace).Get(e.name)
	if err != nil {
		return err
	}
	var has struct {
		metav1.ObjectMeta `json:"metadata"`
		Status            Status `json:"status"`
	}
	if err := into(object, &has); err != nil {
		return err
	}
	want := e.status(has.Status, own, served, time.Now())
	if equality.Semantic.DeepEqual(has.Status, want) {
		return nil
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": has.ResourceVersion}, "status": want})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = s.Client.Resource(policiesResource()).Namespace(e.namespace).Patch(ctx, e.name, types.MergePatchType, body, metav1.PatchOptions{}, "status")
	return err
}

// status is what a policy is to be told, that has been told has.
func (e *entry) status(has Status, own Report, served control.PolicyStatus, now time.Time) Status {
	want := Status{ObservedGeneration: e.generation, Version: cmp.Or(served.Served, served.Version)}
	for _, c := range has.Conditions {
		want.Conditions = append(want.Conditions, *c.DeepCopy())
	}
	want.Reports = merge(has.Reports, own, now)
	var sum Report
	for _, r := range want.Reports {
		sum.Connected += r.Connected
		sum.Current += r.Current
		sum.Refused += r.Refused
		sum.Words = max(sum.Words, r.Words)
	}
	want.Sidecars = fmt.Sprintf("%d/%d", sum.Current, sum.Connected)
	for _, c := range []metav1.Condition{e.accepted(), e.programmed(sum, served)} {
		c.ObservedGeneration = e.generation
		c.LastTransitionTime = metav1.NewTime(now.UTC().Truncate(time.Second))
		c.Message = bounded(c.Message)
		meta.SetStatusCondition(&want.Conditions, c)
	}
	return want
}

func (e *entry) accepted() metav1.Condition {
	if len(e.faults) == 0 {
		return metav1.Condition{Type: ConditionAccepted, Status: metav1.ConditionTrue, Reason: reasonValid, Message: "the policy is in order"}
	}
	return metav1.Condition{Type: ConditionAccepted, Status: metav1.ConditionFalse, Reason: reasonInvalid, Message: words(e.faults)}
}

func (e *entry) programmed(sum Report, served control.PolicyStatus) metav1.Condition {
	c := metav1.Condition{Type: ConditionProgrammed, Status: metav1.ConditionFalse}
	run := fmt.Sprintf("%d of %d sidecars run %s", sum.Current, sum.Connected, cmp.Or(served.Served, served.Version))
	switch {
	case e.inForce == nil:
		c.Reason, c.Message = reasonInvalid, "nothing of it is served, for it has never been in order"
	case served.State == control.StateRejected:
		c.Reason, c.Message = reasonRefused, served.Error+"; "+run
	case sum.Refused > 0:
		c.Reason, c.Message = reasonRefused, fmt.Sprintf("refused by %d of %d sidecars, as %s", sum.Refused, sum.Connected, sum.Words)
	case served.State == control.StateHeld:
		c.Reason, c.Message = reasonHeld, "a rollback holds another version; "+run
	case len(e.faults) > 0:
		c.Reason, c.Message = reasonInvalid, "the last good version is served; "+run
	case sum.Connected == 0:
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, reasonNoSidecars, "no sidecar of it is connected: pods choose it by the annotation friday.dev/policy: "+e.name
	case sum.Current < sum.Connected:
		c.Reason, c.Message = reasonPending, run
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, reasonAcknowledged, run
	}
	return c
}

// merge puts this fridayd's report among those of the others, of which the old go.
func merge(has []Report, own Report, now time.Time) []Report {
	var list []Report
	for _, r := range has {
		if r.Name != own.Name && now.Sub(r.Time.Time) < expiry {
			list = append(list, r)
		}
	}
	own.Words = bounded(own.Words)
	own.Time = metav1.NewTime(now.UTC().Truncate(time.Second))
	if i := slices.IndexFunc(has, func(r Report) bool { return r.Name == own.Name }); i >= 0 {
		before := has[i]
		was := before.Time
		before.Time = own.Time
		if before == own && (len(list) == 0 || now.Sub(was.Time) < heartbeat) {
			own.Time = was // nothing new, and nobody who waits to hear
		}
	}
	list = append(list, own)
	slices.SortFunc(list, func(a, b Report) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func bounded(s string) string {
	if len(s) <= maxWords {
		return s
	}
	return strings.ToValidUTF8(s[:maxWords], "") + "…"
}
