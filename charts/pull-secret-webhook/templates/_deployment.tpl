{{/*
The common parts of the two Deployments. The argument is {root, component, pod}, as for the Pods.
*/}}
{{- define "pull-secret-webhook.deploymentMetadata" -}}
{{- include "pull-secret-webhook.metadata" (merge (dict "annotations" .pod.deploymentAnnotations) .) -}}
{{- end -}}

{{- define "pull-secret-webhook.deploymentSpec" -}}
revisionHistoryLimit: {{ .pod.revisionHistoryLimit }}
{{- with .pod.updateStrategy }}
strategy:
  {{- /* The API server refuses the settings of another strategy, which are the chart's default. */}}
  {{- (eq (toString .type) "Recreate") | ternary (omit . "rollingUpdate") . | toYaml | nindent 2 }}
{{- end }}
{{ include "pull-secret-webhook.selector" . }}
{{- end -}}

{{- define "pull-secret-webhook.selector" -}}
selector:
  matchLabels:
    {{- include "pull-secret-webhook.componentLabels" . | nindent 4 }}
{{- end -}}

{{/* A constraint applies to the Pods of its component, unless it has a labelSelector. */}}
{{- define "pull-secret-webhook.topologySpread" -}}
{{- $ours := dict "matchLabels" (include "pull-secret-webhook.componentLabels" . | fromYaml) -}}
{{- with .pod.topologySpreadConstraints -}}
topologySpreadConstraints:
  {{- range . }}
  - {{- hasKey . "labelSelector" | ternary . (merge (dict "labelSelector" $ours) .) | toYaml | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "pull-secret-webhook.commonArgs" -}}
- --config=/etc/pullsecrets/config.yaml
- --namespace={{ include "pull-secret-webhook.namespace" .root }}
- --log-format={{ .root.Values.log.format }}
- --log-level={{ .root.Values.log.level }}
{{- end -}}

{{/* The argument has the values of the component. */}}
{{- define "pull-secret-webhook.probes" -}}
{{- range $probe, $path := dict "startupProbe" "/livez" "livenessProbe" "/livez" "readinessProbe" "/readyz" }}
{{ $probe }}:
  httpGet: {path: {{ $path }}, port: metrics}
  {{- with get $.pod $probe }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The argument has the minimum number of replicas. With a single replica, a budget would only block the drain of its node. */}}
{{- define "pull-secret-webhook.podDisruptionBudget" -}}
{{- if and .pod.podDisruptionBudget.enabled (gt (int .replicas) 1) -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "pull-secret-webhook.metadata" . | nindent 2 }}
spec:
  {{- if kindIs "invalid" .pod.podDisruptionBudget.minAvailable }}
  maxUnavailable: {{ .pod.podDisruptionBudget.maxUnavailable }}
  {{- else }}
  minAvailable: {{ .pod.podDisruptionBudget.minAvailable }}
  {{- end }}
  unhealthyPodEvictionPolicy: {{ .pod.podDisruptionBudget.unhealthyPodEvictionPolicy }}
  {{- include "pull-secret-webhook.selector" . | nindent 2 }}
{{- end -}}
{{- end -}}
