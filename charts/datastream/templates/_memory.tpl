{{/*
Memory of a gateway in MiB, from what bounds it: {request, limit}, for requests and limits that say `auto`. The one place of the
formula; docs/operations.md, "Sizing", explains it.

  held for as long as it runs     64 + ringMiB + maxStreams * 32 / 1024
  held while clients are slow     sendMemoryMiB + replays * 16
  held for batches of the topic that are larger than usual, or become larger when they are decompressed   128

The request is the first line, the limit both and a quarter more. (SETTINGS)
*/}}
{{- define "datastream.memory" -}}
{{- $held := add (mul 1024 (add 64 (int64 .ringMiB))) (mul 32 (int64 .maxStreams)) -}}
{{- $all := add $held (mul 1024 (add 128 (int64 .sendMemoryMiB) (mul 16 (int64 .replays)))) -}}
request: {{ div (add $held 1023) 1024 }}
limit: {{ div (add (mul 125 $all) 102399) 102400 }}
{{- end }}

{{/* Requests and limits of a gateway, with what follows from its settings in place of `auto`. (SETTINGS) */}}
{{- define "datastream.gatewayResources" -}}
{{- $memory := include "datastream.memory" . | fromYaml -}}
{{- $resources := dict -}}
{{- include "datastream.over" (dict "base" $resources "over" .resources) -}}
{{- range $part, $mib := dict "requests" $memory.request "limits" $memory.limit -}}
{{- $amounts := default dict (get $resources $part) -}}
{{- if eq (toString (get $amounts "memory")) "auto" -}}
{{- $_ := set $amounts "memory" (printf "%dMi" (int64 $mib)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end }}
