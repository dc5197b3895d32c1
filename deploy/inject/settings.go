package inject

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"
)

// Names that a pod, a namespace or a person meets.
const (
	Label        = "friday.dev/inject"
	LabelEnabled = "enabled" // of a namespace
	// RevisionLabel chooses one of several fridayd, of a namespace or a pod.
	RevisionLabel = "friday.dev/rev"

	prefix = "friday.dev/"
	// StatusAnnotation holds what was changed, as JSON.
	StatusAnnotation = prefix + "status"
	portsKey         = prefix + "ports"
	excludeKey       = prefix + "exclude-ports"
	policyKey        = prefix + "policy"
	modeKey          = prefix + "mode"
	levelKey         = prefix + "log-level"
	claimKey         = prefix + "state-claim"
	resourcesKey     = prefix + "resources."

	// Container, RedirectContainer and StateVolume are what is added.
	Container         = "friday"
	RedirectContainer = "friday-redirect"
	StateVolume       = "friday-state"
)

// Mode is how requests come to Friday.
type Mode string

// The modes.
const (
	ModePort     Mode = "port"
	ModeRedirect Mode = "redirect"
)

// The ports of an injected sidecar. Where a container of the pod declares the first,
// the next free one is taken.
const (
	FirstPort  = 19080
	AdminPort  = 19000 // on the loopback address
	StatusPort = 19001 // /ready, /live, /metrics
)

// User is whom Friday runs as in the mode redirect: the rules let its own
// connections through. A number that images are unlikely to run as.
const User = 19080

const (
	stateDir = "/var/lib/friday"
	// drainDelay is how long a pod's end takes to reach those who route to it.
	drainDelay = 5 * time.Second
	// margin is kept from the pod's grace period for ending by itself.
	margin = 2 * time.Second
	// defaultGrace is Kubernetes'.
	defaultGrace = 30 * time.Second
)

// Settings are what holds for all pods. Annotations of a pod may say otherwise.
type Settings struct {
	// Image is Friday's. PullPolicy: empty leaves it to Kubernetes.
	Image, PullPolicy string
	// XDS is fridayd's ADS port, HOST:PORT, for pods with a policy.
	XDS string
	// Mode is that of pods without an annotation.
	Mode Mode
	// Native: the server knows restartPolicy of init containers (1.29 on). Sleep: it
	// knows the action sleep of hooks (1.30 on).
	Native, Sleep bool
	// Resources are those of the sidecar, by their annotation's ending:
	// "requests.cpu". What is not there has no request or limit.
	Resources map[string]string
	// OTLP is the URL of a collector that takes spans from sidecars (OpenTelemetry's
	// OTEL_EXPORTER_OTLP_ENDPOINT); empty: requests are not traced.
	OTLP string
	// Namespaces are never injected into, beside Kubernetes' own.
	Namespaces []string
	// Revision is of the fridayd whose settings these are; empty: the only one.
	Revision string
}

// Check says what is wrong with the settings: an annotation's words, without its key.
func (s Settings) Check() error {
	if u, err := url.Parse(s.OTLP); s.OTLP != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%q is not a URL as http://collector:4318", s.OTLP)
	}
	o := options{resources: map[string]string{}}
	for _, key := range slices.Sorted(maps.Keys(s.Resources)) {
		if err := o.setResource(resourcesKey+key, s.Resources[key]); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return o.consistent()
}

// DefaultXDS is where the chart puts fridayd.
const DefaultXDS = "fridayd.friday-system.svc:19010"

// DefaultImage is the image of a version.
func DefaultImage(version string) string { return "ghcr.io/fridaymesh/friday:" + version }

// Defaults are the settings of `fridayctl inject`: a current Kubernetes.
func Defaults(image string) Settings {
	return Settings{
		Image: image, XDS: DefaultXDS, Mode: ModePort, Native: true, Sleep: true,
		Resources: DefaultResources(),
	}
}

// DefaultResources leave the processor unlimited: throttling would cost every
// request, and idle Friday takes next to nothing. The limit of memory holds a few
// of the largest bodies at once.
func DefaultResources() map[string]string {
	return map[string]string{"requests.cpu": "100m", "requests.memory": "64Mi", "limits.memory": "512Mi"}
}
