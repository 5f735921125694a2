{{/* What a gateway is told. (dict "root" $ "settings" SETTINGS) */}}
{{- define "datastream.gatewayEnv" -}}
{{- with .settings -}}
- name: DATASTREAM_ROUTES_NAMESPACE
  {{- with $.root.Values.routes.namespace }}
  value: {{ . | quote }}
  {{- else }}
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  {{- end }}
- name: DATASTREAM_POD
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- /* Where the other gateways ask whether a client is still there. */}}
- name: DATASTREAM_POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: DATASTREAM_LISTEN
  value: {{ include "datastream.listen" (dict "root" $.root "port" 8080) | quote }}
- name: DATASTREAM_ADMIN
  value: {{ include "datastream.listen" (dict "root" $.root "port" 9090) | quote }}
{{- if $.root.Values.monitoring.authorization.enabled }}
- name: DATASTREAM_METRICS_AUTHORIZATION
  value: "true"
{{- end }}
- name: DATASTREAM_GROUP
  value: {{ .group | quote }}
- name: DATASTREAM_FLUVIO
  value: {{ .fluvio.address | quote }}
- name: DATASTREAM_TOPIC
  value: {{ .fluvio.topic | quote }}
{{- with .fluvio.cursorsTopic }}
- name: DATASTREAM_CURSORS_TOPIC
  value: {{ . | quote }}
{{- end }}
{{- with .fluvio.tls }}
{{- if .secretName }}
- name: DATASTREAM_FLUVIO_CA
  value: /etc/datastream/fluvio/ca.crt
{{- if .clientCertificate }}
- name: DATASTREAM_FLUVIO_CERT
  value: /etc/datastream/fluvio/tls.crt
- name: DATASTREAM_FLUVIO_KEY
  value: /etc/datastream/fluvio/tls.key
{{- end }}
{{- with .serverName }}
- name: DATASTREAM_FLUVIO_SERVER_NAME
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
- name: DATASTREAM_DRAIN_SECONDS
  value: {{ int64 .drainSeconds | quote }}
- name: DATASTREAM_SHED_PER_SECOND
  value: {{ int64 .shedPerSecond | quote }}
- name: DATASTREAM_RING_MIB
  value: {{ int64 .ringMiB | quote }}
- name: DATASTREAM_SEND_MEMORY_MIB
  value: {{ int64 .sendMemoryMiB | quote }}
- name: DATASTREAM_MAX_FRAME_KIB
  value: {{ int64 .maxFrameKiB | quote }}
- name: DATASTREAM_REPLAYS
  value: {{ int64 .replays | quote }}
- name: DATASTREAM_MAX_STREAMS
  value: {{ int64 .maxStreams | quote }}
- name: DATASTREAM_HANDSHAKES_PER_SECOND
  value: {{ int64 .handshakesPerSecond | quote }}
{{- range $name, $limits := dict "STREAMS" .limits.streams "REQUESTS" .limits.requests "EVENTS" .limits.events "SENT_KIB" .limits.sentKiB "REPLAYED_KIB" .limits.replayedKiB }}
{{- $each := list }}
{{- range $scope, $limit := $limits }}
{{- if int64 $limit }}{{ $each = append $each (printf "%s=%d" $scope (int64 $limit)) }}{{ end }}
{{- end }}
{{- with $each }}
- name: {{ printf "DATASTREAM_LIMIT_%s" $name }}
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}
{{- with .proxies.trusted }}
- name: DATASTREAM_TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
{{- if .proxies.protocol }}
- name: DATASTREAM_PROXY_PROTOCOL
  value: "true"
{{- end }}
{{- with int64 .maxLagSeconds }}
- name: DATASTREAM_MAX_LAG_SECONDS
  value: {{ . | quote }}
{{- end }}
{{- with int64 .maxLagMiB }}
- name: DATASTREAM_MAX_LAG_MIB
  value: {{ . | quote }}
{{- end }}
- name: DATASTREAM_STALE_ROUTES
  value: {{ .staleRoutes | quote }}
- name: DATASTREAM_STALE_ROUTES_AFTER
  value: {{ int64 .staleRoutesAfterSeconds | quote }}
- name: DATASTREAM_QUERY_KEYS
  value: {{ .queryKeys | quote }}
{{- if .tls.secretName }}
- name: DATASTREAM_TLS_CERT
  value: /etc/datastream/tls/tls.crt
- name: DATASTREAM_TLS_KEY
  value: /etc/datastream/tls/tls.key
{{- with .tls.clientAuthority }}
{{- if .secretName }}
- name: DATASTREAM_TLS_CLIENT_CA
  value: {{ printf "/etc/datastream/clients/%s" .key | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with .tokens }}
{{- if .issuer }}
- name: DATASTREAM_TOKEN_ISSUER
  value: {{ .issuer | quote }}
- name: DATASTREAM_TOKEN_AUDIENCE
  value: {{ .audience | quote }}
{{- if .serviceAccounts }}
- name: DATASTREAM_TOKEN_KEYS
  value: https://kubernetes.default.svc/openid/v1/jwks
- name: DATASTREAM_TOKEN_CA
  value: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
- name: DATASTREAM_TOKEN_BEARER
  value: /var/run/secrets/kubernetes.io/serviceaccount/token
{{- else }}
{{- with .keysUrl }}
- name: DATASTREAM_TOKEN_KEYS
  value: {{ . | quote }}
{{- end }}
{{- if .authority.secretName }}
- name: DATASTREAM_TOKEN_CA
  value: {{ printf "/etc/datastream/issuer/%s" .authority.key | quote }}
{{- end }}
{{- end }}
- name: DATASTREAM_TOKEN_CLAIM
  value: {{ .claim | quote }}
{{- with ternary "/kubernetes.io/namespace" .namespaceClaim .serviceAccounts }}
- name: DATASTREAM_TOKEN_NAMESPACE_CLAIM
  value: {{ . | quote }}
{{- end }}
- name: DATASTREAM_TOKEN_LEEWAY
  value: {{ int64 .leewaySeconds | quote }}
{{- end }}
{{- end }}
{{- if .audit }}
- name: DATASTREAM_AUDIT_LOG
  value: "-"
{{- end }}
- name: DATASTREAM_LOG_FORMAT
  value: {{ $.root.Values.log.format | quote }}
{{- end }}
{{- end }}

{{/* The Secrets whose files a gateway reads, each below /etc/datastream/NAME, as YAML: {files: [{name, secretName, key}]}. With a key, that
file and no other: the Secret of an authority may have its private key, too. (SETTINGS) */}}
{{- define "datastream.gatewayFiles" -}}
{{- $files := list -}}
{{- $issuer := and .tokens.issuer (not .tokens.serviceAccounts) -}}
{{- range (list
  (dict "name" "tls" "secretName" .tls.secretName)
  (dict "name" "clients" "key" .tls.clientAuthority.key "secretName" (ternary .tls.clientAuthority.secretName "" (not (empty .tls.secretName))))
  (dict "name" "issuer" "key" .tokens.authority.key "secretName" (ternary .tokens.authority.secretName "" (not (empty $issuer))))
  (dict "name" "fluvio" "secretName" .fluvio.tls.secretName)
) -}}
{{- if .secretName -}}
{{- $files = append $files . -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "files" $files) }}
{{- end }}
