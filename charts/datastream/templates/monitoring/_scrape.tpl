{{/* Endpoints and how they are scraped. (dict "root" $ "interval" DURATION) */}}
{{- define "datastream.endpoints" -}}
{{- if .root.Values.monitoring.authorization.enabled -}}
- {{- include "datastream.endpoint" (merge (dict "components" "operator|gateway") .) | nindent 2 }}
  scheme: https
  # Their certificates are of their own making.
  tlsConfig: {insecureSkipVerify: true}
  {{- with .root.Values.monitoring.authorization.tokenSecret }}
  {{- if .name }}
  authorization:
    credentials: {name: {{ .name | quote }}, key: {{ .key | quote }}}
  {{- end }}
  {{- end }}
- {{- include "datastream.endpoint" (merge (dict "components" "collector") .) | nindent 2 }}
{{- else -}}
- {{- include "datastream.endpoint" . | nindent 2 }}
{{- end -}}
{{- end }}

{{/* One of them. (As above, and optionally "components" REGEX) */}}
{{- define "datastream.endpoint" -}}
port: metrics
interval: {{ .interval | quote }}
relabelings:
  {{- with .components }}
  - action: keep
    sourceLabels: [__meta_kubernetes_pod_label_app_kubernetes_io_component]
    regex: {{ . | quote }}
  {{- end }}
  # The group of gateways, where it is one. `replace` is what the definition would add.
  - action: replace
    sourceLabels: [__meta_kubernetes_pod_label_datastream_dev_gateway_group]
    targetLabel: gateway_group
{{- end }}
