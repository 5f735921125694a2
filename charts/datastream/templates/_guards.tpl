{{/* Refuses what a schema cannot, in a group's settings. (dict "root" $ "settings" SETTINGS) */}}
{{- define "datastream.checkGroup" -}}
{{- with .settings -}}
{{- $path := printf "gateways.%s" .group -}}
{{- if not .fluvio.address -}}
{{- fail "fluvio.address: say where Fluvio is, as in --set fluvio.address=fluvio-sc.fluvio.svc:9003" -}}
{{- end -}}
{{- if and .fluvio.tls.clientCertificate (not .fluvio.tls.secretName) -}}
{{- fail (printf "%s.fluvio.tls.secretName: say which Secret has the client certificate, and the authority of Fluvio's" $path) -}}
{{- end -}}
{{- if and .fluvio.tls.serverName (not .fluvio.tls.secretName) -}}
{{- fail (printf "%s.fluvio.tls.secretName: serverName is for TLS: say which Secret has the authority of Fluvio's" $path) -}}
{{- end -}}
{{- $limits := .limits -}}
{{- range $what, $least := dict "events" 100 "sentKiB" 128 "replayedKiB" 128 -}}
{{- range $scope, $limit := index $limits $what -}}
{{- if and (int64 $limit) (lt (int64 $limit) (int64 $least)) -}}
{{- fail (printf "%s.limits.%s.%s: %d a second is too little to send what comes at once: set %d or more, or 0" $path $what $scope (int64 $limit) (int64 $least)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .proxies.protocol (not .proxies.trusted) -}}
{{- fail (printf "%s.proxies.trusted: say which proxies speak the PROXY protocol" $path) -}}
{{- end -}}
{{- if and .tls.clientAuthority.secretName (not .tls.secretName) -}}
{{- fail (printf "%s.tls.secretName: certificates of clients are for gateways with TLS of their own: say which Secret has their certificate, or leave clientAuthority out" $path) -}}
{{- end -}}
{{- with .tokens -}}
{{- if and .issuer (not .audience) -}}
{{- fail (printf "%s.tokens.audience: say for which audience (aud) the issuer makes tokens of these gateways" $path) -}}
{{- end -}}
{{- if and .serviceAccounts (not .issuer) -}}
{{- fail (printf "%s.tokens.issuer: say what the cluster calls itself: kubectl get --raw /.well-known/openid-configuration" $path) -}}
{{- end -}}
{{- if and .serviceAccounts (or .keysUrl .authority.secretName .namespaceClaim) -}}
{{- fail (printf "%s.tokens.serviceAccounts: keysUrl, authority and namespaceClaim are those of the cluster: leave them out" $path) -}}
{{- end -}}
{{- end -}}
{{- if and .tls.secretName (hasPrefix "ws://" .streamUrl) (not (or .ingress.enabled .httpRoute.enabled)) -}}
{{- fail (printf "%s.streamUrl: gateways with tls.secretName speak nothing but TLS: say wss://" $path) -}}
{{- end -}}
{{- if gt (len .name) 63 -}}
{{- fail (printf "%s: objects would be called %s, longer than 63 characters: set a shorter fullnameOverride" $path .name) -}}
{{- end -}}
{{- if and .ingress.enabled (not .ingress.host) -}}
{{- fail (printf "%s.ingress.host: an Ingress needs the host that clients connect to" $path) -}}
{{- end -}}
{{- if and .httpRoute.enabled (not .httpRoute.host) -}}
{{- fail (printf "%s.httpRoute.host: an HTTPRoute needs the host that clients connect to" $path) -}}
{{- end -}}
{{- if and .httpRoute.enabled (not .httpRoute.parentRefs) -}}
{{- fail (printf "%s.httpRoute.parentRefs: an HTTPRoute needs the Gateways that serve it" $path) -}}
{{- end -}}
{{- if .certificate.enabled -}}
{{- if not (and .ingress.enabled .ingress.tls.enabled) -}}
{{- fail (printf "%s.certificate: a certificate is for an Ingress with TLS: enable ingress and ingress.tls, or leave it to the Gateway" $path) -}}
{{- end -}}
{{- if not (default dict .certificate.issuerRef).name -}}
{{- fail (printf "%s.certificate.issuerRef.name: say who issues the certificate" $path) -}}
{{- end -}}
{{- end -}}
{{- if .autoscaling.enabled -}}
{{- if gt (int64 .autoscaling.minReplicas) (int64 .autoscaling.maxReplicas) -}}
{{- fail (printf "%s.autoscaling: minReplicas is greater than maxReplicas" $path) -}}
{{- end -}}
{{- $target := include "datastream.targetStreams" . | int64 -}}
{{- if not (or $target .autoscaling.targetCPUPercent) -}}
{{- fail (printf "%s.autoscaling: set targetStreams or targetCPUPercent, or there is nothing to scale by" $path) -}}
{{- end -}}
{{- if gt $target (int64 .maxStreams) -}}
{{- fail (printf "%s.autoscaling.targetStreams: %d is more than maxStreams lets in (%d): pods would refuse clients before there are more of them" $path $target (int64 .maxStreams)) -}}
{{- end -}}
{{- end -}}
{{- if and .tls.secretName (not .tls.authorityKey) (not (or .streamUrl .ingress.enabled .httpRoute.enabled)) -}}
{{- fail (printf "%s.tls.authorityKey: `helm test` asks by the name of the Service, which no authority of the web certifies: say under which key of the Secret the authority's certificate is, or set streamUrl" $path) -}}
{{- end -}}
{{- if gt (mul 2 (int64 .maxFrameKiB)) (mul 1024 (int64 .sendMemoryMiB)) -}}
{{- fail (printf "%s.sendMemoryMiB: %d MiB do not hold two frames of maxFrameKiB (%d)" $path (int64 .sendMemoryMiB) (int64 .maxFrameKiB)) -}}
{{- end -}}
{{- include "datastream.checkMemory" . -}}
{{- include "datastream.checkLabels" (dict "path" (printf "%s.pod.labels" $path) "labels" (default dict .pod).labels) -}}
{{- end -}}
{{- end }}

{{/* Refuses what a schema cannot, in the values as a whole and in the cluster. */}}
{{- define "datastream.check" -}}
{{- if not .Values.enabled -}}
{{- fail "enabled: it is for a chart that has this one as a dependency, with condition: datastream.enabled in its Chart.yaml; without that, nothing looks at it" -}}
{{- end -}}
{{- include "datastream.checkLabels" (dict "path" "commonLabels" "labels" .Values.commonLabels) -}}
{{- range $path, $pod := dict "pod" .Values.pod "operator.pod" .Values.operator.pod "collector.pod" .Values.collector.pod -}}
{{- include "datastream.checkLabels" (dict "path" (printf "%s.labels" $path) "labels" (default dict $pod).labels) -}}
{{- end -}}
{{- range $part := list "podMonitor" "serviceMonitor" "prometheusRule" "dashboard" -}}
{{- include "datastream.checkLabels" (dict "path" (printf "monitoring.%s.labels" $part) "labels" (index $.Values.monitoring $part).labels) -}}
{{- end -}}
{{- $groups := (include "datastream.groups" . | fromYaml).groups -}}
{{- if and .Values.operator.enabled (not $groups) -}}
{{- fail "gateways: the operator needs at least one group of gateways; where the gateways are another release's, operator.enabled=false" -}}
{{- end -}}
{{- $hosts := dict -}}
{{- $urls := dict -}}
{{- range $settings := $groups -}}
{{- $url := include "datastream.streamUrl" (dict "root" $ "settings" $settings) -}}
{{- range $part := list "ingress" "httpRoute" -}}
{{- $publishes := index $settings $part -}}
{{- if $publishes.enabled -}}
{{- $key := printf "%s %s" $part $publishes.host -}}
{{- with get $hosts $key -}}
{{- fail (printf "gateways.%s.%s.host: %s is the host of group %s, too: each group needs one of its own" $settings.group $part $publishes.host .) -}}
{{- end -}}
{{- $_ := set $hosts $key $settings.group -}}
{{- end -}}
{{- end -}}
{{- with get $urls $url -}}
{{- fail (printf "gateways.%s.streamUrl: clients of group %s connect at %s, too: each group needs a URL of its own" $settings.group . $url) -}}
{{- end -}}
{{- $_ := set $urls $url $settings.group -}}
{{- end -}}
{{- $accounts := dict -}}
{{- $made := list (list "operator.serviceAccount" "operator" .Values.operator.serviceAccount .Values.operator.enabled) (list "gatewayServiceAccount" "gateway" .Values.gatewayServiceAccount (not (empty $groups))) (list "collector.serviceAccount" "collector" .Values.collector.serviceAccount .Values.collector.enabled) -}}
{{- range $made -}}
{{- $path := index . 0 -}}
{{- $account := index . 2 -}}
{{- if and $account.create (index . 3) -}}
{{- $name := include "datastream.account" (dict "root" $ "component" (index . 1) "account" $account) -}}
{{- with get $accounts $name -}}
{{- fail (printf "%s.name: %s is the name of %s, too: each part has rights, and so an account, of its own" $path $name .) -}}
{{- end -}}
{{- $_ := set $accounts $name $path -}}
{{- end -}}
{{- end -}}
{{- if and .Values.monitoring.podMonitor.enabled .Values.monitoring.serviceMonitor.enabled -}}
{{- fail "monitoring: podMonitor and serviceMonitor would scrape every pod twice: enable one of them" -}}
{{- end -}}
{{- with .Values.monitoring.prometheusRule.disabled -}}
{{- $known := list -}}
{{- range ($.Files.Get "files/alerts.yaml" | fromYaml).groups -}}
{{- range .rules }}{{ $known = append $known .alert }}{{ end -}}
{{- end -}}
{{- range . -}}
{{- if not (has . $known) -}}
{{- fail (printf "monitoring.prometheusRule.disabled: there is no alert %q, only %s" . (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.collector.enabled (not .Values.collector.config.streams) -}}
{{- fail "collector.config.streams: say what to collect (docs/collector.md)" -}}
{{- end -}}
{{- include "datastream.checkDefinition" . -}}
{{- with .Values.routes.namespace -}}
{{- if and (include "datastream.asksCluster" $) (not (lookup "v1" "Namespace" "" .)) -}}
{{- fail (printf "routes.namespace: the cluster has no namespace %s: make it first (kubectl create namespace %s)" . .) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.operator.enabled (include "datastream.asksCluster" .) -}}
{{- range .Values.operator.watchNamespaces -}}
{{- if not (lookup "v1" "Namespace" "" .) -}}
{{- fail (printf "operator.watchNamespaces: the cluster has no namespace %s: make it first (kubectl create namespace %s), or leave it out" . .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $part, $kind := dict "podMonitor" "PodMonitor" "serviceMonitor" "ServiceMonitor" "prometheusRule" "PrometheusRule" -}}
{{- if (index $.Values.monitoring $part).enabled -}}
{{- include "datastream.checkServed" (dict "root" $ "path" (printf "monitoring.%s" $part) "api" (printf "monitoring.coreos.com/v1/%s" $kind)) -}}
{{- end -}}
{{- end -}}
{{- range $settings := $groups -}}
{{- range $part, $api := dict "certificate" "cert-manager.io/v1/Certificate" "httpRoute" "gateway.networking.k8s.io/v1/HTTPRoute" -}}
{{- if (index $settings $part).enabled -}}
{{- include "datastream.checkServed" (dict "root" $ "path" (printf "gateways.%s.%s" $settings.group $part) "api" $api) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
Whether a cluster is asked: `helm template` and a dry run on the client ask none. They are told apart by a group that Helm takes for
granted and no supported cluster serves. (root)
*/}}
{{- define "datastream.asksCluster" -}}
{{- if not (.Capabilities.APIVersions.Has "extensions/v1beta1") -}}
true
{{- end -}}
{{- end }}

{{/* Whether the cluster serves an API of another project. (dict "root" $ "path" VALUE "api" GROUP/VERSION/KIND) */}}
{{- define "datastream.checkServed" -}}
{{- if and (include "datastream.asksCluster" .root) (not (.root.Capabilities.APIVersions.Has .api)) -}}
{{- fail (printf "%s: the cluster does not serve %s: install what brings it, or leave this off" .path .api) -}}
{{- end -}}
{{- end }}

{{/* What the cluster serves of DatastreamSubscription. */}}
{{- define "datastream.checkDefinition" -}}
{{- $name := "datastreamsubscriptions.datastream.dev" -}}
{{- if .Values.crds.enabled -}}
{{- $own := .Files.Get "files/datastreamsubscriptions.yaml" | fromYaml -}}
{{- $known := list -}}
{{- range $own.spec.versions }}{{ $known = append $known .name }}{{ end -}}
{{- with lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name -}}
{{- range .spec.versions -}}
{{- if not (has .name $known) -}}
{{- fail (printf "the cluster has DatastreamSubscription in version %s, which chart %s does not know (it has %s): install the release that the definition is from, or a newer one" .name $.Chart.Version (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if .Values.operator.enabled -}}
{{- if and (include "datastream.asksCluster" .) (not (.Capabilities.APIVersions.Has "datastream.dev/v1alpha1/DatastreamSubscription")) -}}
{{- fail "the cluster does not serve DatastreamSubscription of datastream.dev/v1alpha1: set crds.enabled=true, or install the definition first" -}}
{{- end -}}
{{- end -}}
{{- end }}
