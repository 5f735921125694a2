{{/*
An image. Null as registry is refused, because nobody publishes these images: an empty one means names as they are.
(dict "root" $ "image" VALUES)
*/}}
{{- define "datastream.image" -}}
{{- $common := .root.Values.image -}}
{{- $repository := .image.repository -}}
{{- if and (kindIs "invalid" $common.registry) (not (regexMatch "^([^/]*[.:][^/]*|localhost)/" $repository)) -}}
{{- fail "image.registry: say where the images are: build them with `IMAGE_REGISTRY=registry.example.com/team make images`, push or load them (charts/datastream/README.md, \"Images\"), and set image.registry=registry.example.com/team; for names without a registry, image.registry=\"\"" -}}
{{- end -}}
{{- with $common.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default (default .root.Chart.AppVersion $common.tag) .image.tag }}{{ end -}}
{{- end }}

{{/* The settings of `pod` for a part, over those for all. (dict "root" $ "pod" VALUES) */}}
{{- define "datastream.pod" -}}
{{- $pod := deepCopy .root.Values.pod -}}
{{- include "datastream.over" (dict "base" $pod "over" .pod) -}}
{{- toYaml $pod }}
{{- end }}

{{/* Where and as whom a pod runs. (dict "root" $ "component" NAME "pod" MERGED ["account" NAME] ["group" GROUP] ["spread" VALUES]) */}}
{{- define "datastream.podSpec" -}}
{{- with .account }}
serviceAccountName: {{ . | quote }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "datastream.map" .pod.securityContext | nindent 2 }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with include "datastream.strings" (list .pod.nodeSelector) }}
nodeSelector:
  {{- . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .spread }}
{{- if .enabled }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: {{ $.spread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "datastream.selector" $ | nindent 8 }}
    # Of one revision: those that a rollout replaces do not count.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Environment variables, each once: the chart's own, the log's, and those of `pod.env`, which may replace RUST_LOG and no other.
(dict "root" $ "component" NAME "own" LIST "pod" MERGED)
*/}}
{{- define "datastream.env" -}}
{{- $component := .component -}}
{{- $own := list -}}
{{- range .own }}{{ $own = append $own .name }}{{ end -}}
{{- $named := list -}}
{{- range .pod.env -}}
{{- if has .name $own -}}
{{- fail (printf "%s.pod.env: %s is written by the chart: set the value that it comes from (values.yaml)" $component .name) -}}
{{- end -}}
{{- if has .name $named -}}
{{- fail (printf "%s.pod.env: %s is there twice" $component .name) -}}
{{- end -}}
{{- $named = append $named .name -}}
{{- end -}}
{{- $all := .own -}}
{{- with .root.Values.log.filter -}}
{{- if not (has "RUST_LOG" $named) -}}
{{- $all = append $all (dict "name" "RUST_LOG" "value" .) -}}
{{- end -}}
{{- end -}}
{{- toYaml (concat $all (default list .pod.env)) -}}
{{- end }}

{{/* Liveness and readiness at the port `metrics`. */}}
{{- define "datastream.probes" -}}
livenessProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}
