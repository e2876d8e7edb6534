{{/* What NOTES.txt says: what to do next, and what is risky in these values. It never says anything of a credential. */}}
{{- define "pull-secret-webhook.notes" -}}
{{- $namespace := include "pull-secret-webhook.namespace" . -}}
{{ .Chart.Name }} {{ .Chart.AppVersion }} is installed as {{ .Release.Name }} in the namespace {{ $namespace }}. What to do next:
{{- if .Values.deployments.enabled }}

  * Wait until it is ready:
      kubectl --namespace {{ $namespace }} rollout status deployment/{{ include "pull-secret-webhook.syncName" . }} deployment/{{ include "pull-secret-webhook.webhookName" . }}
{{- end }}
{{- with include "pull-secret-webhook.sourcesToMake" . | fromJsonArray }}

  * Create the Secrets that the pull secrets are made from, where they are not there yet:
{{- range . }}
      kubectl --namespace {{ $namespace }} create secret docker-registry {{ . }} --docker-server=… --docker-username=… --docker-password=…
{{- end }}
{{- end }}
{{- if .Values.pullSecrets }}

  * Let a namespace opt in:
      kubectl label namespace … {{ .Values.optIn.label }}={{ .Values.optIn.value }}

  * See what has become of it:
      kubectl get secrets --all-namespaces --selector {{ include "pull-secret-webhook.copiesSelector" . }}
      kubectl get events --all-namespaces --field-selector source=pull-secret-webhook
{{- end }}

  * Ask whether it is healthy, where you have the command of this project:
      pullsecrets check --namespace {{ $namespace }} --release {{ .Release.Name }}
{{- with include "pull-secret-webhook.warnings" . | fromJsonArray }}

Mind:
{{- range . }}

  * {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "pull-secret-webhook.copiesSelector" -}}
app.kubernetes.io/managed-by=pull-secret-webhook,pullsecrets.webhook/release={{ .Release.Name }}
{{- end -}}

{{/* The sources that the chart does not make itself, as JSON. */}}
{{- define "pull-secret-webhook.sourcesToMake" -}}
{{- $sources := include "pull-secret-webhook.sourceNames" . | fromJsonArray -}}
{{- range .Values.sourceSecrets }}{{ $sources = without $sources .name }}{{ end -}}
{{- $sources | toJson -}}
{{- end -}}

{{/* What these values bring with them that somebody may not expect, as JSON. */}}
{{- define "pull-secret-webhook.warnings" -}}
{{- $all := list -}}
{{- if not .Values.pullSecrets -}}
{{- $all = append $all "There is no pull secret: nothing will be done until pullSecrets has one." -}}
{{- end -}}
{{- if and .Values.deployments.enabled (hasPrefix "localhost/" .Values.image.repository) -}}
{{- $all = append $all (printf "The image is %s: only nodes into which it has been loaded by hand have it. Set image.repository." (include "pull-secret-webhook.image" .)) -}}
{{- end -}}
{{- if not .Values.deployments.enabled -}}
{{- $all = append $all (printf "No Pod is installed: run \"pullsecrets serve\" and \"pullsecrets sync\" yourself, so that %s answers; and \"pullsecrets cleanup\" before you uninstall." .Values.webhook.url) -}}
{{- else if not .Values.cleanup.enabled -}}
{{- $all = append $all "cleanup.enabled is false: \"helm uninstall\" will leave references and copies in all namespaces. Run \"pullsecrets cleanup\" before it." -}}
{{- end -}}
{{- $all = concat $all (include "pull-secret-webhook.failureWarnings" . | fromJsonArray) -}}
{{- if eq .Values.certificates.mode "cert-manager" -}}
{{- $all = append $all "The webhook answers once cert-manager has issued its certificate and set the caBundle." -}}
{{- else if eq .Values.certificates.mode "provided" -}}
{{- $all = append $all (printf "You keep the certificate: the Secret %s must be there, and renewed before it expires." (include "pull-secret-webhook.tlsSecret" .)) -}}
{{- if not .Values.webhook.caBundle -}}
{{- $all = append $all "webhook.caBundle is empty: the API server trusts the certificate only if its system does, or if something else sets the bundle." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.monitoring.podMonitor.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.metricsFrom) -}}
{{- $all = append $all "networkPolicy.metricsFrom is empty: Prometheus does not reach the metrics that the PodMonitor tells it to read." -}}
{{- end -}}
{{- if .Values.sourceSecrets -}}
{{- $all = append $all "The passwords in sourceSecrets can be read by everybody who reads the release (\"helm get values\"). Make the Secrets yourself after the trial." -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* What becomes of a Pod while nobody answers, as JSON. */}}
{{- define "pull-secret-webhook.failureWarnings" -}}
{{- $all := list -}}
{{- if eq .Values.webhook.failurePolicy.pods "Ignore" -}}
{{- $all = append $all "A Pod that is created while the webhook does not answer has only the references of its ServiceAccount; the API server counts such calls in apiserver_admission_webhook_fail_open_count. A refusal instead: webhook.failurePolicy.pods=Fail." -}}
{{- else -}}
{{- $all = append $all "webhook.failurePolicy.pods is Fail: while the webhook does not answer, no Pod that lacks a reference can be created in namespaces that have opted in." -}}
{{- end -}}
{{- if eq .Values.webhook.failurePolicy.serviceAccounts "Fail" -}}
{{- $all = append $all "webhook.failurePolicy.serviceAccounts is Fail: while the webhook does not answer, no ServiceAccount that lacks a reference can be created or changed in namespaces that have opted in, \"default\" of a new one included." -}}
{{- end -}}
{{- $fewest := .Values.webhook.autoscaling.enabled | ternary .Values.webhook.autoscaling.minReplicas .Values.webhook.replicas | int -}}
{{- if and .Values.deployments.enabled (lt $fewest 2) -}}
{{- $all = append $all "There may be a single replica of the webhook: each time its node is drained or lost, nobody answers." -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}
