{{/* The groups of gateways that are on, as YAML: {groups: [settings, with group and name beside them]}. */}}
{{- define "datastream.groups" -}}
{{- $groups := list -}}
{{- range $group, $own := .Values.gateways -}}
{{- $settings := deepCopy $.Values.gateway -}}
{{- include "datastream.over" (dict "base" $settings "over" $own) -}}
{{- if $settings.enabled -}}
{{- $name := printf "%s-gateway" (include "datastream.fullname" $) -}}
{{- if ne $group "default" -}}
{{- $name = printf "%s-%s" $name $group -}}
{{- end -}}
{{- $_ := set $settings "group" $group -}}
{{- $_ := set $settings "name" $name -}}
{{- $fluvio := deepCopy $.Values.fluvio -}}
{{- include "datastream.over" (dict "base" $fluvio "over" $settings.fluvio) -}}
{{- $_ := set $settings "fluvio" $fluvio -}}
{{- include "datastream.checkGroup" (dict "root" $ "settings" $settings) -}}
{{- $groups = append $groups $settings -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "groups" $groups) }}
{{- end }}

{{/* Where the pods of the cluster reach a group. (dict "root" $ "settings" SETTINGS) */}}
{{- define "datastream.insideUrl" -}}
{{- printf "%s://%s.%s.svc:%d/stream" (ternary "wss" "ws" (not (empty .settings.tls.secretName))) .settings.name .root.Release.Namespace (int64 .settings.service.port) }}
{{- end }}

{{/* Where the clients of a group connect. (As above.) */}}
{{- define "datastream.streamUrl" -}}
{{- with .settings -}}
{{- if .streamUrl -}}
{{- .streamUrl }}
{{- else if .ingress.enabled -}}
{{- printf "%s://%s/stream" (ternary "wss" "ws" .ingress.tls.enabled) .ingress.host }}
{{- else if .httpRoute.enabled -}}
{{- printf "%s://%s/stream" (ternary "wss" "ws" .httpRoute.tls) .httpRoute.host }}
{{- else -}}
{{- include "datastream.insideUrl" $ }}
{{- end }}
{{- end }}
{{- end }}

{{/* The Secret with the certificate of a group's Ingress. (SETTINGS) */}}
{{- define "datastream.tlsSecret" -}}
{{- default (printf "%s-tls" .name) .ingress.tls.secretName }}
{{- end }}

{{/* Whether something has more than one pod: a budget would nail a single one to its node. (SETTINGS) */}}
{{- define "datastream.hasBudget" -}}
{{- $autoscaling := default (dict "enabled" false) .autoscaling -}}
{{- $pods := ternary $autoscaling.minReplicas .replicas $autoscaling.enabled -}}
{{- if and .podDisruptionBudget.enabled (gt (int64 $pods) 1) -}}
true
{{- end }}
{{- end }}

{{/* How many streams a pod should have: what is said, or 40 % of maxStreams, so that the others have room for those of a pod that is gone. (SETTINGS) */}}
{{- define "datastream.targetStreams" -}}
{{- if kindIs "invalid" .autoscaling.targetStreams -}}
{{- max 1 (div (mul (int64 .maxStreams) 40) 100) }}
{{- else -}}
{{- int64 .autoscaling.targetStreams }}
{{- end }}
{{- end }}
