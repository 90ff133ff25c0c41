{{/* Values that are well-formed, and of which nothing could be made that works: said before anything is installed. What
soadns itself finds wrong in its configuration it says when it starts (helm test). */}}
{{- define "soadns.check" -}}
{{- $config := .Values.config -}}
{{- if not $config.zones -}}
{{- fail "config.zones is empty: there would be no name to answer. For example: [{name: rpc.cluster.local}]" -}}
{{- end -}}
{{- if not (or $config.kubernetes $config.zookeeper $config.static) -}}
{{- fail "config.kubernetes, config.zookeeper and config.static are all empty: soadns would know nothing. For example config.zookeeper: [{hosts: \"zk1:2181\"}]" -}}
{{- end -}}
{{- range $key, $address := dict "nameserver.listen" (include "soadns.dns" .) "http.probes" (include "soadns.probes" .) -}}
{{- $usual := eq $key "http.probes" | ternary "0.0.0.0:8054" "[\"0.0.0.0:1053\"]" -}}
{{- if not (include "soadns.port" $address) -}}
{{- fail (printf "config.%s is empty: the chart's Services and probes lead there. Usual is %s" $key $usual) -}}
{{- end -}}
{{- end -}}
{{- $reached := dict "nameserver.listen" (include "soadns.dns" .) "http.probes" (include "soadns.probes" .) "http.livez" (include "soadns.livez" .) "state.peers.listen" (include "soadns.peers" .) "sidecar.ads.listen" (include "soadns.ads" .) "transfer.listen" (include "soadns.transfer" .) "nameserver.tls.listen" (include "soadns.dot" .) -}}
{{- range $key, $address := $reached -}}
{{- if regexMatch "^(127\\.|\\[::1\\]|localhost)" $address -}}
{{- fail (printf "config.%s is %s: nobody outside of the pod could reach that. Say 0.0.0.0:%s" $key $address (include "soadns.port" $address)) -}}
{{- end -}}
{{- end -}}
{{- if not (hasPrefix "/" (include "soadns.directory" .)) -}}
{{- fail "config.state.directory is no absolute path: the volume of the state is mounted there. Usual is /var/lib/soadns" -}}
{{- end -}}
{{- $replicas := int .Values.replicaCount -}}
{{- $addresses := len (default list .Values.replicaServices.clusterIPs) -}}
{{- if and (eq .Values.kind "StatefulSet") .Values.replicaServices.enabled $replicas (gt $addresses $replicas) -}}
{{- fail (printf "replicaServices.clusterIPs has %d addresses for %d replicas: CoreDNS would ask where nobody is. Leave some out, or raise replicaCount" $addresses $replicas) -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas is %d, and maxReplicas %d: raise the one, or lower the other" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.kind "StatefulSet") .Values.persistence.enabled -}}
{{- if not .Values.persistence.size -}}
{{- fail "persistence.size is empty: a claim of a volume says how much it wants. For example: 1Gi" -}}
{{- end -}}
{{- if not .Values.persistence.accessModes -}}
{{- fail "persistence.accessModes is empty: a claim of a volume wants one. Usual is [ReadWriteOnce]" -}}
{{- end -}}
{{- end -}}
{{- $least := .Values.autoscaling.enabled | ternary (int .Values.autoscaling.minReplicas) $replicas -}}
{{- with .Values.podDisruptionBudget -}}
{{- if and .enabled (gt $least 0) -}}
{{- $kept := and (not (kindIs "invalid" .minAvailable)) (or (eq (toString .minAvailable) "100%") (and (not (hasSuffix "%" (toString .minAvailable))) (ge (int .minAvailable) $least))) -}}
{{- $none := and (kindIs "invalid" .minAvailable) (has (toString .maxUnavailable) (list "0" "0%")) -}}
{{- if or $kept $none -}}
{{- fail (printf "podDisruptionBudget lets none of %d replicas go: no node that one runs on could be drained. Say maxUnavailable: 1, or enabled: false" $least) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
