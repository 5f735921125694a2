{{/*
Memory of a gateway in MiB, from what bounds it: {request, limit}, for requests and limits that say `auto`, and {used}, below which
no limit may be. The one place of the formula; docs/operations.md, "Sizing", explains it.

  held for as long as it runs     64 + ringMiB + maxStreams * 32 / 1024, and with TLS of its own (maxStreams + 1024) * 64 / 1024 more, or * 84
                                  where it asks clients for certificates
  held while clients are slow     sendMemoryMiB + replays * 16
  held for batches of the topic that are larger than usual, or become larger when they are decompressed   128
  held by connections of HTTP/2 that carry no streams, by requests that wait on them, and by 16 streams that are compressed   64

The request is the first line, what is used is all of them, the limit a quarter more than that. (SETTINGS)
*/}}
{{- define "datastream.memory" -}}
{{- $held := add (mul 1024 (add 64 (int64 .ringMiB))) (mul 32 (int64 .maxStreams)) (ternary (mul (ternary 84 64 (not (empty .tls.clientAuthority.secretName))) (add 1024 (int64 .maxStreams))) 0 (not (empty .tls.secretName))) -}}
{{- $all := add $held (mul 1024 (add 192 (int64 .sendMemoryMiB) (mul 16 (int64 .replays)))) -}}
request: {{ div (add $held 1023) 1024 }}
used: {{ div (add $all 1023) 1024 }}
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

{{/* An amount of memory in whole MiB. (a number of bytes, or text as in 512Mi) */}}
{{- define "datastream.mib" -}}
{{- $factors := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- $unit := "" -}}
{{- $number := . -}}
{{- if kindIs "string" . -}}
{{- $unit = regexFind "[A-Za-z]*$" . -}}
{{- $number = trimSuffix $unit . -}}
{{- end -}}
{{- divf (mulf (float64 $number) (get $factors $unit)) 1048576 | int64 -}}
{{- end }}

{{/* Refuses a limit of memory that is less than a gateway uses. (SETTINGS) */}}
{{- define "datastream.checkMemory" -}}
{{- $used := (include "datastream.memory" . | fromYaml).used | int64 -}}
{{- $resources := include "datastream.gatewayResources" . | fromYaml -}}
{{- $limit := (default dict $resources.limits).memory -}}
{{- if not (kindIs "invalid" $limit) -}}
{{- $limit = include "datastream.mib" $limit | int64 -}}
{{- if lt $limit $used -}}
{{- fail (printf "gateways.%s.resources.limits.memory: %dMi is less than the %dMi that ringMiB (%d), maxStreams (%d), sendMemoryMiB (%d) and replays (%d)%s need: raise it, lower them, or say auto" .group $limit $used (int64 .ringMiB) (int64 .maxStreams) (int64 .sendMemoryMiB) (int64 .replays) (ternary ", with TLS," "" (not (empty .tls.secretName)))) -}}
{{- end -}}
{{- end -}}
{{- end }}
