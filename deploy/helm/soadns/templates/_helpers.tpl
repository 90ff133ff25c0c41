{{- define "soadns.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "soadns.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "soadns.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "soadns.selectorLabels" -}}
app.kubernetes.io/name: {{ include "soadns.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "soadns.labels" -}}
{{ include "soadns.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: soadns
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (replace "+" "_" .Chart.Version) }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "soadns.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "soadns.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "soadns.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The configuration: that of the values, and where replicas find each other's snapshots. */}}
{{- define "soadns.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.peers.enabled -}}
{{- $port := int .Values.peers.port -}}
{{- $hosts := list (printf "%s-headless.%s.svc:%d" (include "soadns.fullname" .) .Release.Namespace $port) -}}
{{- $peers := dict "hosts" $hosts "listen" (printf "0.0.0.0:%d" $port) "tokenFile" "/etc/soadns-peers/token" -}}
{{- if .Values.peers.tls.secretName -}}
{{- $_ := set $peers "tls" (dict "cert" "/etc/soadns-peers-tls/tls.crt" "key" "/etc/soadns-peers-tls/tls.key" "ca" "/etc/soadns-peers-tls/ca.crt") -}}
{{- end -}}
{{- $config = merge $config (dict "state" (dict "peers" $peers)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The volumes of the token that they show each other and of their certificate, and where these are. */}}
{{- define "soadns.peersVolume" -}}
{{- if .Values.peers.enabled -}}
- name: peers
  secret: {secretName: {{ default (printf "%s-peers" (include "soadns.fullname" .)) .Values.peers.secretName }}, defaultMode: 0440}
{{- with .Values.peers.tls.secretName }}
- name: peers-tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end -}}
{{- end -}}
{{- define "soadns.peersMount" -}}
{{- if .Values.peers.enabled -}}
- {name: peers, mountPath: /etc/soadns-peers, readOnly: true}
{{- if .Values.peers.tls.secretName }}
- {name: peers-tls, mountPath: /etc/soadns-peers-tls, readOnly: true}
{{- end }}
{{- end -}}
{{- end -}}

{{/* The port of an address such as 0.0.0.0:1053. */}}
{{- define "soadns.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}

{{/* What sections of the configuration hold, where they may be missing, or empty. */}}
{{- define "soadns.section" -}}
{{- $found := .top.Values.config -}}
{{- range .path -}}{{- $found = default dict (get $found .) -}}{{- end -}}
{{- toJson $found -}}
{{- end -}}
{{- define "soadns.probes" -}}
{{- default "" (get (fromJson (include "soadns.section" (dict "top" . "path" (list "http")))) "probes") -}}
{{- end -}}
{{- define "soadns.directory" -}}
{{- default "" (get (fromJson (include "soadns.section" (dict "top" . "path" (list "state")))) "directory") -}}
{{- end -}}
{{- define "soadns.ads" -}}
{{- default "" (get (fromJson (include "soadns.section" (dict "top" . "path" (list "sidecar" "ads")))) "listen") -}}
{{- end -}}
{{- define "soadns.peers" -}}
{{- dig "state" "peers" "listen" "" (fromYaml (include "soadns.config" .)) -}}
{{- end -}}
{{- define "soadns.dot" -}}
{{- $listen := default list (get (fromJson (include "soadns.section" (dict "top" . "path" (list "nameserver" "tls")))) "listen") -}}
{{- if kindIs "string" $listen -}}{{- $listen -}}{{- else -}}{{- first (append $listen "") -}}{{- end -}}
{{- end -}}
{{- define "soadns.transfer" -}}
{{- $listen := default list (get (fromJson (include "soadns.section" (dict "top" . "path" (list "transfer")))) "listen") -}}
{{- if kindIs "string" $listen -}}{{- $listen -}}{{- else -}}{{- first (append $listen "") -}}{{- end -}}
{{- end -}}
{{- define "soadns.livez" -}}
{{- default "" (get (fromJson (include "soadns.section" (dict "top" . "path" (list "http")))) "livez") -}}
{{- end -}}
{{- define "soadns.dns" -}}
{{- $listen := default list (get (fromJson (include "soadns.section" (dict "top" . "path" (list "nameserver")))) "listen") -}}
{{- if kindIs "string" $listen -}}{{- $listen -}}{{- else -}}{{- first (append $listen "") -}}{{- end -}}
{{- end -}}

{{/* The configuration's first entry without a kubeconfig, the cluster that this is installed in, as JSON; empty where there
is none. */}}
{{- define "soadns.home" -}}
{{- $found := "" -}}
{{- range default list .Values.config.kubernetes -}}
{{- if not (or $found (get . "kubeconfig")) -}}{{- $found = toJson . -}}{{- end -}}
{{- end -}}
{{- $found -}}
{{- end -}}

{{/* `yes` where that is also the cluster that replicas share what they know by, and whose Istio is told. */}}
{{- define "soadns.mesh" -}}
{{- $home := include "soadns.home" . -}}
{{- if $home -}}
{{- $name := default "home" (get (fromJson $home) "name") -}}
{{- $first := default "home" (get (first .Values.config.kubernetes) "name") -}}
{{- if eq $name (dig "sidecar" "share" "cluster" $first .Values.config | default $first) -}}yes{{- end -}}
{{- end -}}
{{- end -}}
