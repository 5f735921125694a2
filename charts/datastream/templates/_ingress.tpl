{{/*
What a controller must be told of WebSockets that stay open for days and are silent between heartbeats. (SETTINGS)
*/}}
{{- define "datastream.ingressAnnotations" -}}
{{- $seconds := int64 .ingress.timeoutSeconds -}}
{{- $own := not (empty .tls.secretName) -}}
{{- if eq .ingress.controller "nginx" -}}
# Its defaults end a stream after 60 s of silence, in either direction, and gather events before they go out.
nginx.ingress.kubernetes.io/proxy-http-version: "1.1"
nginx.ingress.kubernetes.io/proxy-read-timeout: {{ $seconds | quote }}
nginx.ingress.kubernetes.io/proxy-send-timeout: {{ $seconds | quote }}
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/proxy-request-buffering: "off"
# Its access log would have every stream key: they are in the query.
nginx.ingress.kubernetes.io/enable-access-log: "false"
{{- if $own }}
nginx.ingress.kubernetes.io/backend-protocol: HTTPS
{{- end }}
{{- else if eq .ingress.controller "traefik" -}}
# Traefik has no timeout on WebSockets; streams only need the right entry point.
traefik.ingress.kubernetes.io/router.entrypoints: {{ ternary "websecure" "web" .ingress.tls.enabled }}
traefik.ingress.kubernetes.io/router.tls: {{ .ingress.tls.enabled | quote }}
{{- else if eq .ingress.controller "haproxy" -}}
# timeout-tunnel counts once a connection has become a WebSocket. The prefixes of HAProxy Technologies' controller and of haproxy-ingress.
haproxy.org/timeout-tunnel: "{{ $seconds }}s"
haproxy.org/load-balance: leastconn
haproxy-ingress.github.io/timeout-tunnel: "{{ $seconds }}s"
haproxy-ingress.github.io/balance-algorithm: leastconn
{{- if $own }}
haproxy.org/server-ssl: "true"
haproxy-ingress.github.io/secure-backends: "true"
{{- end }}
{{- else if eq .ingress.controller "alb" -}}
# The load balancer's default ends a stream after 60 s of silence. It takes at most 4000 s.
alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds={{ min $seconds 4000 }}
alb.ingress.kubernetes.io/target-type: ip
{{- if $own }}
alb.ingress.kubernetes.io/backend-protocol: HTTPS
{{- end }}
alb.ingress.kubernetes.io/target-group-attributes: deregistration_delay.timeout_seconds={{ int64 .drainSeconds }},load_balancing.algorithm.type=least_outstanding_requests
# The console's page: it needs no key.
alb.ingress.kubernetes.io/healthcheck-path: /
alb.ingress.kubernetes.io/listen-ports: {{ ternary `[{"HTTPS": 443}]` `[{"HTTP": 80}]` .ingress.tls.enabled | squote }}
{{- end -}}
{{- end }}
