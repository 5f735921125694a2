{{/* What the operator is told. (root) */}}
{{- define "datastream.operatorEnv" -}}
{{- $groups := list -}}
{{- $withTokens := list -}}
{{- $withCertificates := list -}}
{{- range (include "datastream.groups" . | fromYaml).groups -}}
{{- $url := include "datastream.streamUrl" (dict "root" $ "settings" .) -}}
{{- $groups = append $groups (printf "%s=%s" .group $url) -}}
{{- if .tokens.issuer -}}
{{- $withTokens = append $withTokens .group -}}
{{- end -}}
{{- if .tls.clientAuthority.secretName -}}
{{- $withCertificates = append $withCertificates .group -}}
{{- end -}}
{{- end -}}
- name: DATASTREAM_ROUTES_NAMESPACE
  {{- with $.Values.routes.namespace }}
  value: {{ . | quote }}
  {{- else }}
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  {{- end }}
- name: DATASTREAM_LEADER_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- with .Values.operator.watchNamespaces }}
- name: DATASTREAM_WATCH_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
- name: DATASTREAM_IDENTITY
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: DATASTREAM_LISTEN
  value: {{ include "datastream.listen" (dict "root" . "port" 8081) | quote }}
{{- if $.Values.monitoring.authorization.enabled }}
- name: DATASTREAM_METRICS_AUTHORIZATION
  value: "true"
{{- end }}
- name: DATASTREAM_GROUPS
  value: {{ join "," $groups | quote }}
{{- with $withTokens }}
- name: DATASTREAM_TOKEN_GROUPS
  value: {{ join "," . | quote }}
{{- end }}
{{- with $withCertificates }}
- name: DATASTREAM_CERTIFICATE_GROUPS
  value: {{ join "," . | quote }}
{{- end }}
- name: DATASTREAM_SHRINK_HOLD_SECONDS
  value: {{ int64 .Values.operator.shrinkHoldSeconds | quote }}
- name: DATASTREAM_MAX_FILTER_COST
  value: {{ int64 .Values.operator.maxFilterCost | quote }}
- name: DATASTREAM_MAX_NAMESPACE_FILTER_COST
  value: {{ int64 .Values.operator.maxNamespaceFilterCost | quote }}
- name: DATASTREAM_MAX_NAMESPACE_SUBSCRIPTIONS
  value: {{ int64 .Values.operator.maxNamespaceSubscriptions | quote }}
- name: DATASTREAM_ACCESS_RULES
  value: {{ .Values.operator.accessRules.mode | quote }}
- name: DATASTREAM_ACCESS_DEFAULT
  value: {{ .Values.operator.accessRules.default | quote }}
- name: DATASTREAM_LOG_FORMAT
  value: {{ .Values.log.format | quote }}
{{- end }}
