{{- define "friday.name" -}}
{{- if .Values.revision }}fridayd-{{ .Values.revision }}{{ else }}fridayd{{ end }}
{{- end }}

{{- /* Of what the whole cluster has one of: two releases in two namespaces keep apart. */}}
{{- define "friday.cluster" -}}
{{- if .Values.revision }}friday-{{ .Values.revision }}{{ else }}friday{{ end }}
{{- end }}

{{- define "friday.selector" -}}
app.kubernetes.io/name: fridayd
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "friday.labels" -}}
{{ include "friday.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: friday
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "friday.image" -}}
{{ .image.repository }}:{{ .image.tag | default .version }}
{{- end }}
