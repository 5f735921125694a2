{{/* Endpoints and how they are scraped. (dict "root" $ "interval" DURATION) */}}
{{- define "datastream.endpoint" -}}
port: metrics
interval: {{ .interval | quote }}
relabelings:
  # The group of gateways, where it is one. `replace` is what the definition would add.
  - action: replace
    sourceLabels: [__meta_kubernetes_pod_label_datastream_dev_gateway_group]
    targetLabel: gateway_group
{{- end }}
