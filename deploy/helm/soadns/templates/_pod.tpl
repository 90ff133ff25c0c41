{{/* What the pods of the StatefulSet and of the Deployment are. */}}
{{- define "soadns.pod" -}}
metadata:
  labels:
    {{- include "soadns.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or .Values.rollOnConfigChange .Values.podAnnotations }}
  annotations:
    {{- if .Values.rollOnConfigChange }}
    checksum/config: {{ include "soadns.config" . | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "soadns.serviceAccountName" . }}
  automountServiceAccountToken: {{ not (empty (include "soadns.home" .)) }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  dnsPolicy: {{ .Values.dnsPolicy }}
  {{- with .Values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with .Values.schedulerName }}
  schedulerName: {{ . }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml . | nindent 4 | trim }}
    {{- if not .labelSelector }}
    labelSelector:
      matchLabels:
        {{- include "soadns.selectorLabels" $ | nindent 8 }}
    {{- end }}
  {{- end }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
  - name: soadns
    image: {{ include "soadns.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: [serve, --config, /etc/soadns/soadns.yaml]
    ports:
    - {name: dns, containerPort: {{ include "soadns.port" (include "soadns.dns" .) }}, protocol: UDP}
    - {name: dns-tcp, containerPort: {{ include "soadns.port" (include "soadns.dns" .) }}, protocol: TCP}
    {{- with include "soadns.dot" . }}
    - {name: dns-tls, containerPort: {{ include "soadns.port" . }}, protocol: TCP}
    {{- end }}
    - {name: metrics, containerPort: {{ include "soadns.port" (include "soadns.probes" .) }}, protocol: TCP}
    {{- with include "soadns.livez" . }}
    - {name: livez, containerPort: {{ include "soadns.port" . }}, protocol: TCP}
    {{- end }}
    {{- with include "soadns.transfer" . }}
    - {name: transfer, containerPort: {{ include "soadns.port" . }}, protocol: UDP}
    - {name: transfer-tcp, containerPort: {{ include "soadns.port" . }}, protocol: TCP}
    {{- end }}
    {{- with include "soadns.peers" . }}
    - {name: peers, containerPort: {{ include "soadns.port" . }}, protocol: TCP}
    {{- end }}
    {{- with include "soadns.ads" . }}
    - {name: grpc-ads, containerPort: {{ include "soadns.port" . }}, protocol: TCP}
    {{- end }}
    {{- if include "soadns.livez" . }}
    livenessProbe:
      httpGet: {path: /livez, port: livez}
      {{- with .Values.livenessProbe }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- end }}
    readinessProbe:
      httpGet: {path: /readyz, port: metrics}
      {{- with .Values.readinessProbe }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    securityContext:
      {{- toYaml .Values.securityContext | nindent 6 }}
    resources:
      {{- toYaml .Values.resources | nindent 6 }}
    {{- with .Values.env }}
    env:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.envFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    volumeMounts:
    - {name: config, mountPath: /etc/soadns, readOnly: true}
    - {name: state, mountPath: {{ include "soadns.directory" . }}}
    {{- with include "soadns.peersMount" . }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  volumes:
  - name: config
    configMap: {name: {{ include "soadns.fullname" . }}}
  {{- if not (and (eq .Values.kind "StatefulSet") .Values.persistence.enabled) }}
  - name: state
    emptyDir: {}
  {{- end }}
  {{- with include "soadns.peersVolume" . }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
