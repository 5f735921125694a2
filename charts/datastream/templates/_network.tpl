{{/* Ports of a rule, TCP. (list NUMBER...) */}}
{{- define "datastream.ports" -}}
{{- range . }}
- {port: {{ int64 . }}, protocol: TCP}
{{- end }}
{{- end }}

{{/* Egress rules: names. (root) */}}
{{- define "datastream.toDns" -}}
# Names.
- ports:
    {{- range .Values.networkPolicy.dnsPorts }}
    - {port: {{ int64 . }}, protocol: UDP}
    - {port: {{ int64 . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.dns }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Egress rules: the API server. (root) */}}
{{- define "datastream.toApiServer" -}}
# The API server, which is no pod and cannot be selected.
- ports:
    {{- include "datastream.ports" .Values.networkPolicy.apiServerPorts | trim | nindent 4 }}
  {{- with .Values.networkPolicy.apiServer }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/*
Ingress rules: the port `metrics`, for Prometheus and whoever else is given. A rule that names nobody would let in everybody, so for
nobody there is none. Probes come from the node, which is always let in. (dict "root" $ ["more" PEERS])
*/}}
{{- define "datastream.toMetrics" -}}
{{- with concat (default list .more) (default list .root.Values.networkPolicy.prometheus) -}}
- ports:
    - {port: metrics, protocol: TCP}
  from:
    {{- toYaml . | nindent 4 }}
{{- end -}}
{{- end }}

{{/*
The clients of a group's stream port, as {from: PEERS}; {} for anyone. Where nothing is said and only the Service leads to the
gateways, those are the pods of the cluster. (SETTINGS)
*/}}
{{- define "datastream.clients" -}}
{{- if not (kindIs "invalid" .networkPolicy.clients) -}}
{{- toYaml (dict "from" .networkPolicy.clients) -}}
{{- else if or .ingress.enabled .httpRoute.enabled .streamUrl (ne .service.type "ClusterIP") -}}
{}
{{- else -}}
from: [{namespaceSelector: {}}]
{{- end -}}
{{- end }}

{{/*
Where Fluvio is, as {to: PEERS}; {} for anywhere. Where nothing is said and its address is the name of a Service, that is the
namespace of the Service. (dict "root" $ "settings" SETTINGS)
*/}}
{{- define "datastream.fluvioPeers" -}}
{{- $host := regexReplaceAll ":[0-9]+$" .settings.fluvio.address "" -}}
{{- $namespace := "" -}}
{{- if regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $host -}}
{{- $namespace = .root.Release.Namespace -}}
{{- else if regexMatch "^[-a-z0-9]+\\.[-a-z0-9]+\\.svc(\\..+)?$" $host -}}
{{- $namespace = index (splitList "." $host) 1 -}}
{{- end -}}
{{- with .root.Values.networkPolicy.fluvio -}}
{{- toYaml (dict "to" .) -}}
{{- else -}}
{{- with $namespace -}}
{{- toYaml (dict "to" (list (dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" .))))) -}}
{{- else -}}
{}
{{- end -}}
{{- end -}}
{{- end }}
