package inject

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// options are what a pod's annotations say.
type options struct {
	ports, exclude []portRef
	portsGiven     bool
	policy         string
	mode           Mode
	level          string
	claim          string
	resources      map[string]string
	given          []string // of the resources: those of the pod itself
}

// portRef names a port by its number or its name.
type portRef struct {
	number int32
	name   string
}

func (r portRef) String() string {
	if r.name != "" {
		return r.name
	}
	return strconv.Itoa(int(r.number))
}

var (
	dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	portName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$`)
	dnsName  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)
)

// resourceKeys are what may follow friday.dev/resources.
func resourceKeys() []string {
	return []string{"limits.cpu", "limits.memory", "requests.cpu", "requests.memory"}
}

// parse reads the annotations. The error has a line for each that is wrong, which
// begins with its key. Keys that Friday does not know are refused: one with a slip
// in it would do nothing, in silence.
func (s Settings) parse(annotations map[string]string) (options, error) {
	o := options{mode: s.Mode, level: "info", resources: maps.Clone(s.Resources)}
	if o.resources == nil {
		o.resources = map[string]string{}
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if !strings.HasPrefix(key, prefix) || key == StatusAnnotation {
			continue
		}
		if err := o.set(key, strings.TrimSpace(annotations[key])); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, o.consistent())
	}
	return o, errors.Join(errs...)
}

func (o *options) set(key, value string) (err error) {
	switch key {
	case portsKey:
		o.portsGiven = true
		o.ports, err = portList(value)
	case excludeKey:
		o.exclude, err = portList(value)
	case policyKey:
		if !dnsLabel.MatchString(value) {
			return fmt.Errorf("%q is not the name of an InferencePolicy: at most 63 of a-z, 0-9 and -, neither first nor last -", value)
		}
		o.policy = value
	case modeKey:
		if o.mode = Mode(value); o.mode != ModePort && o.mode != ModeRedirect {
			return fmt.Errorf("%q is neither port nor redirect", value)
		}
	case levelKey:
		if !slices.Contains([]string{"debug", "info", "warn", "error"}, value) {
			return fmt.Errorf("%q is not one of debug, info, warn and error", value)
		}
		o.level = value
	case claimKey:
		if !dnsName.MatchString(value) {
			return fmt.Errorf("%q is not the name of a PersistentVolumeClaim", value)
		}
		o.claim = value
	case Label, RevisionLabel:
		return errors.New("is a label, and does nothing as an annotation")
	default:
		return o.setResource(key, value)
	}
	return err
}

func (o *options) setResource(key, value string) error {
	name, ok := strings.CutPrefix(key, resourcesKey)
	if !ok || !slices.Contains(resourceKeys(), name) {
		return errors.New("unknown: there are ports, exclude-ports, policy, mode, log-level, state-claim and resources." +
			strings.Join(resourceKeys(), ", resources."))
	}
	q, err := resource.ParseQuantity(value)
	if err != nil || q.Sign() < 0 {
		return fmt.Errorf("%q is not a quantity as 100m or 256Mi", value)
	}
	o.resources[name] = value
	o.given = append(o.given, name)
	return nil
}

// consistent holds requests against limits: the API server would refuse the pod in
// other words. What the pod does not say itself makes way.
func (o *options) consistent() error {
	for _, kind := range []string{"cpu", "memory"} {
		request, limit := "requests."+kind, "limits."+kind
		r, rerr := resource.ParseQuantity(o.resources[request])
		l, lerr := resource.ParseQuantity(o.resources[limit])
		switch {
		case rerr != nil || lerr != nil || r.Cmp(l) <= 0: // one of them is not there, or all is well
		case !slices.Contains(o.given, request):
			o.resources[request] = o.resources[limit]
		case !slices.Contains(o.given, limit):
			o.resources[limit] = o.resources[request]
		default:
			return fmt.Errorf("%s%s: %s is more than the limit, %s", resourcesKey, request, o.resources[request], o.resources[limit])
		}
	}
	return nil
}

// portList reads numbers and names with commas between them.
func portList(value string) ([]portRef, error) {
	var list []portRef
	for field := range strings.SplitSeq(value, ",") {
		field = strings.TrimSpace(field)
		ref := portRef{name: field}
		if n, err := strconv.ParseInt(field, 10, 32); err == nil {
			if n < 1 || n > 65535 {
				return nil, fmt.Errorf("%d: must be 1 to 65535", n)
			}
			ref = portRef{number: int32(n)}
		} else if !portName.MatchString(field) {
			return nil, fmt.Errorf("%q is neither the number nor the name of a port", field)
		}
		if slices.Contains(list, ref) {
			return nil, fmt.Errorf("%s is there twice", ref)
		}
		list = append(list, ref)
	}
	return list, nil
}
