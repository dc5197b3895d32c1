{{- define "friday.suffix" -}}{{ with .Values.revision }}-{{ . }}{{ end }}{{- end }}
{{- define "friday.name" -}}fridayd{{ include "friday.suffix" . }}{{- end }}
{{- define "friday.webhook" -}}friday{{ include "friday.suffix" . }}{{- end }}
{{/* What belongs to the cluster has the namespace's name in it, where it is not the usual one. */}}
{{- define "friday.role" -}}friday{{ include "friday.suffix" . }}{{ if ne .Release.Namespace "friday-system" }}-{{ .Release.Namespace }}{{ end }}{{- end }}
{{- define "friday.secret" -}}{{ include "friday.name" . }}-webhook{{- end }}
{{- define "friday.tag" -}}{{ .tag | default .root.Chart.AppVersion }}{{- end }}
{{- define "friday.hook" -}}
admissionReviewVersions: [v1]
sideEffects: None
reinvocationPolicy: IfNeeded
failurePolicy: {{ .Values.webhook.failurePolicy }}
timeoutSeconds: {{ .Values.webhook.timeoutSeconds }}
rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE], scope: Namespaced}]
{{- end }}
{{- define "friday.except" -}}
{key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, kube-public, kube-node-lease, {{ .Release.Namespace }}{{ range .Values.webhook.exceptNamespaces }}, {{ . }}{{ end }}]}
{{- end }}
{{- define "friday.chosen" -}}
{{- if .Values.revision }}{key: friday.dev/rev, operator: In, values: [{{ .Values.revision | quote }}]}{{ else }}{key: friday.dev/rev, operator: DoesNotExist}{{ end }}
{{- end }}
