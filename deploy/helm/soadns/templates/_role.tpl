{{/* A role and who has it: (dict "top" $ "name" "-share" "namespace" "" "rules" "- {...}"). Without a namespace it is for
the whole cluster. */}}
{{- define "soadns.role" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ if .namespace }}Role{{ else }}ClusterRole{{ end }}
metadata:
  name: {{ include "soadns.fullname" .top }}{{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "soadns.labels" .top | nindent 4 }}
rules:
{{ .rules | trim }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ if .namespace }}Role{{ else }}ClusterRole{{ end }}Binding
metadata:
  name: {{ include "soadns.fullname" .top }}{{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "soadns.labels" .top | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ if .namespace }}Role{{ else }}ClusterRole{{ end }}
  name: {{ include "soadns.fullname" .top }}{{ .name }}
subjects:
- {kind: ServiceAccount, name: {{ include "soadns.serviceAccountName" .top }}, namespace: {{ .top.Release.Namespace }}}
{{- end }}
