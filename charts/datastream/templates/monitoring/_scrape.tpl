{{/* What is scraped, and how. (dict "root" $ "interval" DURATION) */}}
{{- define "datastream.endpoint" -}}
port: metrics
interval: {{ .interval }}
relabelings:
  # Which group of gateways it is, where it is one.
  - sourceLabels: [__meta_kubernetes_pod_label_datastream_dev_gateway_group]
    targetLabel: gateway_group
{{- end }}

{{/* Selects the pods of all parts that have metrics. (root) */}}
{{- define "datastream.measured" -}}
matchLabels:
  app.kubernetes.io/name: {{ include "datastream.name" . }}
  app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
