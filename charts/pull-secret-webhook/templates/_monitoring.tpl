{{/* The rules of files/alerts.yaml, with the names of this release. */}}
{{- define "pull-secret-webhook.alerts" -}}
{{- .Files.Get "files/alerts.yaml"
    | replace "RELEASE_NAMESPACE" (include "pull-secret-webhook.namespace" .)
    | replace "RUNBOOK" .Values.monitoring.prometheusRule.runbookUrl
    | replace "FULLNAME" (include "pull-secret-webhook.fullname" .)
    | replace "SERVING_QUARTER" (div (include "pull-secret-webhook.seconds" .Values.certificates.lifetime) 4 | toString)
    | replace "AUTHORITY_QUARTER" (div (include "pull-secret-webhook.seconds" .Values.certificates.caLifetime) 4 | toString) -}}
{{- end -}}

{{- define "pull-secret-webhook.validateMonitoring" -}}
{{- if and .Values.monitoring.podMonitor.enabled .Values.monitoring.serviceMonitor.enabled -}}
{{- fail "monitoring.serviceMonitor.enabled: monitoring.podMonitor is enabled, too, and Prometheus would count everything twice; enable one of the two" -}}
{{- end -}}
{{- if .Values.monitoring.prometheusRule.disabled -}}
{{- $alerts := list -}}
{{- range (include "pull-secret-webhook.alerts" . | fromYaml).groups }}{{ range .rules }}{{ $alerts = append $alerts .alert }}{{ end }}{{ end -}}
{{- range $index, $name := .Values.monitoring.prometheusRule.disabled -}}
{{- if not (has $name $alerts) -}}
{{- fail (printf "monitoring.prometheusRule.disabled[%d]: there is no alert %q; there are %s" $index $name ($alerts | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
