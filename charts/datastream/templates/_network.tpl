{{/* Egress rules: names. */}}
{{- define "datastream.toDns" -}}
# Names.
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

{{/* Egress rules: the API server. (root) */}}
{{- define "datastream.toApiServer" -}}
# The API server, which is no pod and cannot be selected.
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.apiServer }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
