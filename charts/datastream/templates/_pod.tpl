{{/* An image. (dict "root" $ "image" VALUES) */}}
{{- define "datastream.image" -}}
{{- $common := .root.Values.image -}}
{{- with $common.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default (default .root.Chart.AppVersion $common.tag) .image.tag }}{{ end -}}
{{- end }}

{{/* What `pod` says for a part, over what it says for all. (dict "root" $ "pod" VALUES) */}}
{{- define "datastream.pod" -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.pod) (deepCopy (default dict .pod))) }}
{{- end }}

{{/* Labels and annotations of a pod. (dict "root" $ "component" NAME "pod" MERGED ["group" GROUP] ["annotations" MAP]) */}}
{{- define "datastream.podMetadata" -}}
labels:
  {{- include "datastream.selector" . | nindent 2 }}
  {{- with .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .pod.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- with .annotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .pod.annotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Where and as whom a pod runs. (dict "root" $ "component" NAME "pod" MERGED "account" NAME ["group" GROUP] ["spread" VALUES]) */}}
{{- define "datastream.podSpec" -}}
serviceAccountName: {{ .account }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "datastream.podSecurity" . | nindent 2 }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
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

{{/* The user of every image, under Restricted Pod Security. */}}
{{- define "datastream.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* The same, for a container. */}}
{{- define "datastream.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Environment variables of every service. (dict "root" $ "pod" MERGED) */}}
{{- define "datastream.env" -}}
- name: DATASTREAM_LOG_FORMAT
  value: {{ .root.Values.log.format }}
{{- include "datastream.moreEnv" . }}
{{- end }}

{{- define "datastream.moreEnv" }}
{{- with .root.Values.log.filter }}
- name: RUST_LOG
  value: {{ . | quote }}
{{- end }}
{{- with .pod.env }}
{{ toYaml . }}
{{- end }}
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
