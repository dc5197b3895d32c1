package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"go.uber.org/zap"
	"gomodules.xyz/jsonpatch/v2"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sjson "k8s.io/apimachinery/pkg/util/json"

	"github.com/fridaymesh/friday/deploy/inject"
)

// The paths. The API server does not say why it asks, so each way to ask for Friday has
// its own.
const (
	// NamespacePath is for pods of namespaces that are enabled.
	NamespacePath = "/inject/namespace"
	// PodPath is for pods that ask for it themselves.
	PodPath = "/inject/pod"
)

// maxReview bounds a question: etcd takes objects of 1.5 MiB, and there may be two.
const maxReview = 8 << 20

// Handler answers admission reviews.
type Handler struct {
	Settings inject.Settings
	Log      *zap.Logger
	Metrics  *Metrics
}

// Routes are the paths of the webhook, and /live.
func (h *Handler) Routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+NamespacePath, func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, true) })
	mux.HandleFunc("POST "+PodPath, func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, false) })
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "LIVE\n") })
	return mux
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, selected bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	if err != nil {
		h.Metrics.Reviews.WithLabelValues(resultBad).Inc()
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	answer, err := h.review(body, selected)
	if err != nil {
		h.Metrics.Reviews.WithLabelValues(resultBad).Inc()
		h.Log.Warn("a review cannot be answered", zap.Error(err))
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer) // #nosec G705 -- JSON; the caller may have gone
}

// review answers one question.
func (h *Handler) review(body []byte, selected bool) ([]byte, error) {
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, fmt.Errorf("not an AdmissionReview: %w", err)
	}
	if review.APIVersion != admissionv1.SchemeGroupVersion.String() || review.Kind != "AdmissionReview" {
		return nil, fmt.Errorf("%s %s: must be %s AdmissionReview", quoted(review.APIVersion), quoted(review.Kind), admissionv1.SchemeGroupVersion)
	}
	if review.Request == nil {
		return nil, errors.New("the review has no request")
	}
	review.Response = h.decide(review.Request, selected)
	review.Response.UID = review.Request.UID
	review.Request = nil
	return json.Marshal(review)
}

// quoted keeps what somebody sent short.
func quoted(s string) string { return fmt.Sprintf("%.64q", s) }

// decide says what is to become of an object. A pod that asks for what cannot be is
// refused, in words: it would run otherwise than its author meant.
func (h *Handler) decide(q *admissionv1.AdmissionRequest, selected bool) *admissionv1.AdmissionResponse {
	allowed := &admissionv1.AdmissionResponse{Allowed: true}
	if q.Operation != admissionv1.Create || q.Kind.Group != "" || q.Kind.Kind != "Pod" || q.SubResource != "" {
		h.Metrics.Reviews.WithLabelValues(resultUnchanged).Inc()
		return allowed
	}
	log := h.Log.With(zap.String("namespace", q.Namespace), zap.String("uid", string(q.UID)), zap.Bool("dry_run", q.DryRun != nil && *q.DryRun))
	var pod map[string]any
	err := k8sjson.Unmarshal(q.Object.Raw, &pod)
	if err != nil {
		err = fmt.Errorf("not a pod: %w", err)
		return h.refuse(log, err)
	}
	log = log.With(zap.String("pod", nameOf(q, pod)))
	result, err := h.Settings.Pod(pod, inject.Place{Namespace: q.Namespace, Selected: selected})
	if err != nil {
		return h.refuse(log, err)
	}
	if result.Reason != "" {
		h.Metrics.Reviews.WithLabelValues(resultUnchanged).Inc()
		log.Debug("pod left as it is", zap.String("reason", result.Reason))
		return allowed
	}
	patch, err := difference(q.Object.Raw, result.Pod)
	if err != nil {
		return h.refuse(log, err)
	}
	kind := admissionv1.PatchTypeJSONPatch
	allowed.Patch, allowed.PatchType = patch, &kind
	for _, w := range result.Warnings {
		allowed.Warnings = append(allowed.Warnings, short("friday: "+w))
	}
	h.Metrics.Reviews.WithLabelValues(resultInjected).Inc()
	log.Info("pod injected", zap.Strings("warnings", result.Warnings))
	return allowed
}

func (h *Handler) refuse(log *zap.Logger, err error) *admissionv1.AdmissionResponse {
	h.Metrics.Reviews.WithLabelValues(resultRefused).Inc()
	log.Warn("pod refused", zap.Error(err))
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{
		Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity,
		Message: "friday: " + strings.ReplaceAll(err.Error(), "\n", "; "),
	}}
}

func nameOf(q *admissionv1.AdmissionRequest, pod map[string]any) string {
	if q.Name != "" {
		return q.Name
	}
	metadata, _ := pod["metadata"].(map[string]any) // empty where there is none
	name, _ := metadata["name"].(string)            // as above
	if name == "" {
		name, _ = metadata["generateName"].(string) // as above
	}
	return name
}

// difference is the JSON patch that makes the one of the other.
func difference(before []byte, after map[string]any) ([]byte, error) {
	text, err := json.Marshal(after)
	if err != nil {
		return nil, fmt.Errorf("write the pod: %w", err)
	}
	operations, err := jsonpatch.CreatePatch(before, text)
	if err != nil {
		return nil, fmt.Errorf("make a patch: %w", err)
	}
	return json.Marshal(operations)
}

// maxWarning is what an API server passes on of a warning, in bytes.
const maxWarning = 256

func short(s string) string {
	if len(s) <= maxWarning {
		return s
	}
	cut := maxWarning - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
