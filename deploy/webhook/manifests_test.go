package webhook_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/fridaymesh/friday/deploy/webhook"
)

// kinds are the types of the manifests' objects.
func kinds() map[string]any {
	return map[string]any{
		"Namespace": &corev1.Namespace{}, "ServiceAccount": &corev1.ServiceAccount{}, "Secret": &corev1.Secret{}, "Service": &corev1.Service{},
		"ClusterRole": &rbacv1.ClusterRole{}, "ClusterRoleBinding": &rbacv1.ClusterRoleBinding{}, "Role": &rbacv1.Role{}, "RoleBinding": &rbacv1.RoleBinding{},
		"Deployment": &appsv1.Deployment{}, "PodDisruptionBudget": &policyv1.PodDisruptionBudget{},
		"MutatingWebhookConfiguration": &admissionregistrationv1.MutatingWebhookConfiguration{},
	}
}

// Every object of the manifests is one that Kubernetes' types know, to the last field,
// and the API server asks by the webhook's paths.
func TestManifests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "kubernetes", "friday.yaml"))
	require.NoError(t, err)
	var paths []string
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var head struct{ Kind string }
		require.NoError(t, yaml.Unmarshal(doc, &head))
		object := kinds()[head.Kind]
		require.NotNil(t, object, head.Kind)
		require.NoError(t, yaml.UnmarshalStrict(doc, object), head.Kind)
		if c, ok := object.(*admissionregistrationv1.MutatingWebhookConfiguration); ok {
			require.Equal(t, "friday", c.Name, "fridayd's default")
			for _, h := range c.Webhooks {
				paths = append(paths, *h.ClientConfig.Service.Path)
				require.Equal(t, admissionregistrationv1.SideEffectClassNone, *h.SideEffects)
			}
		}
	}
	slices.Sort(paths)
	require.Equal(t, []string{webhook.NamespacePath, webhook.PodPath}, paths)
}
