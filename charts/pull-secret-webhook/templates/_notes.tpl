{{/* The text of NOTES.txt: next steps, and warnings about risky values. It never contains a credential. */}}
{{- define "pull-secret-webhook.notes" -}}
{{- $namespace := include "pull-secret-webhook.namespace" . -}}
{{ .Chart.Name }} {{ .Chart.AppVersion }} is installed as {{ .Release.Name }} in the namespace {{ $namespace }}. Next steps:
{{- if .Values.deployments.enabled }}

  * Wait until it is ready:
      kubectl --namespace {{ $namespace }} rollout status deployment/{{ include "pull-secret-webhook.syncName" . }} deployment/{{ include "pull-secret-webhook.webhookName" . }}
{{- end }}
{{- with include "pull-secret-webhook.sourcesToMake" . | fromJsonArray }}

  * Create the source Secrets that do not exist yet:
{{- range . }}
      kubectl --namespace {{ $namespace }} create secret docker-registry {{ . }} --docker-server=… --docker-username=… --docker-password=…
{{- end }}
{{- end }}
{{- if .Values.pullSecrets }}
{{- if eq .Values.optIn.scope "All" }}

  * Every namespace that is not excluded is selected. Opt a namespace out:
      kubectl label namespace … {{ .Values.optIn.label }}=disabled
{{- else }}

  * Opt in a namespace:
      kubectl label namespace … {{ .Values.optIn.label }}={{ .Values.optIn.value }}
{{- end }}

  * List the copies and Events:
      kubectl get secrets --all-namespaces --selector {{ include "pull-secret-webhook.copiesSelector" . }}
      kubectl get events --all-namespaces --field-selector source=pull-secret-webhook
{{- end }}
{{- if .Values.deployments.enabled }}

  * Check the installation:
      helm test {{ .Release.Name }} --namespace {{ .Release.Namespace }} || kubectl --namespace {{ $namespace }} logs {{ include "pull-secret-webhook.checkName" . }}
{{- end }}

  * Get the command, which explains single objects, too. Run it from a checkout of the project:
      pipx install .
      pullsecrets check --release {{ .Release.Name }} --release-namespace {{ $namespace }}
{{- if .Values.deployments.enabled }}

  * Open the status page at http://localhost:8080/:
      kubectl --namespace {{ $namespace }} port-forward deployment/{{ include "pull-secret-webhook.syncName" . }} 8080
{{- end }}
{{- with include "pull-secret-webhook.warnings" . | fromJsonArray }}

Warnings:
{{- range . }}

  * {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "pull-secret-webhook.copiesSelector" -}}
app.kubernetes.io/managed-by=pull-secret-webhook,pullsecrets.webhook/release={{ .Release.Name }}
{{- end -}}

{{/* The source Secrets that neither the chart nor sync creates, as JSON. */}}
{{- define "pull-secret-webhook.sourcesToMake" -}}
{{- $sources := include "pull-secret-webhook.sourceNames" . | fromJsonArray -}}
{{- range .Values.sourceSecrets }}{{ $sources = without $sources .name }}{{ end -}}
{{- range include "pull-secret-webhook.issuedNames" . | fromJsonArray }}{{ $sources = without $sources . }}{{ end -}}
{{- $sources | toJson -}}
{{- end -}}

{{/* Warnings about these values, as JSON. */}}
{{- define "pull-secret-webhook.warnings" -}}
{{- $all := list -}}
{{- if not .Values.pullSecrets -}}
{{- $all = append $all "pullSecrets is empty: the release does nothing until you add a pull secret." -}}
{{- end -}}
{{- if and .Values.deployments.enabled (hasPrefix "localhost/" (include "pull-secret-webhook.image" .)) -}}
{{- $all = append $all (printf "The image is %s: only nodes onto which you loaded it have it. Set image.registry to pull it from a registry instead." (include "pull-secret-webhook.image" .)) -}}
{{- end -}}
{{- if not .Values.deployments.enabled -}}
{{- $all = append $all (printf "No Pod is installed: run \"pullsecrets serve\" (reachable at %s) and \"pullsecrets sync\" yourself. Run \"pullsecrets cleanup\" before you uninstall." .Values.webhook.url) -}}
{{- else if not .Values.cleanup.enabled -}}
{{- $all = append $all "cleanup.enabled is false: \"helm uninstall\" leaves references and copies in all namespaces. Run \"pullsecrets cleanup\" first." -}}
{{- end -}}
{{- $all = concat $all (include "pull-secret-webhook.failureWarnings" . | fromJsonArray) -}}
{{- if eq .Values.certificates.mode "cert-manager" -}}
{{- $all = append $all "The webhook is available after cert-manager has issued its certificate and set the caBundle." -}}
{{- else if eq .Values.certificates.mode "provided" -}}
{{- $all = append $all (printf "You maintain the certificate: create the Secret %s, and renew it before it expires." (include "pull-secret-webhook.tlsSecret" .)) -}}
{{- if not .Values.webhook.caBundle -}}
{{- $all = append $all "webhook.caBundle is empty: the API server trusts the certificate only through its system roots or a bundle that another tool sets." -}}
{{- end -}}
{{- end -}}
{{- $scraped := or .Values.monitoring.podMonitor.enabled .Values.monitoring.serviceMonitor.enabled -}}
{{- if and .Values.deployments.enabled $scraped .Values.networkPolicy.enabled (not .Values.networkPolicy.metricsFrom) -}}
{{- $all = append $all "networkPolicy.metricsFrom is empty: Prometheus cannot reach the metrics of the Pods." -}}
{{- end -}}
{{- $limited := and .Values.networkPolicy.enabled .Values.networkPolicy.apiServerTo (not (or .Values.networkPolicy.syncEgress .Values.networkPolicy.extraEgress)) -}}
{{- if and .Values.deployments.enabled $limited (include "pull-secret-webhook.runsProviders" .) -}}
{{- $all = append $all "networkPolicy.apiServerTo limits the addresses that sync reaches, and a source runs a credential provider: allow the token service and the registry of the provider in networkPolicy.syncEgress." -}}
{{- end -}}
{{- if and .Values.deployments.enabled $limited (include "pull-secret-webhook.proves" .) -}}
{{- $all = append $all "networkPolicy.apiServerTo limits the addresses that sync reaches, and a rollout proves credentials at their registries: allow the registries in networkPolicy.syncEgress." -}}
{{- end -}}
{{- if and .Values.guard.reserveOptIn (not (include "pull-secret-webhook.guarded" .)) -}}
{{- $all = append $all "guard.reserveOptIn has no effect, because no guard policy is installed: users who can edit a Namespace can opt it in. Set guard.enabled=true on Kubernetes 1.30 or newer." -}}
{{- end -}}
{{- if and (not (include "pull-secret-webhook.guarded" .)) (include "pull-secret-webhook.namespaceTokens" . | fromJson) -}}
{{- $all = append $all "A source has perNamespace, and no guard policy is installed: a stolen token of sync can request tokens of these ServiceAccounts in all namespaces, for any audience. Set guard.enabled=true on Kubernetes 1.30 or newer, or give these ServiceAccounts no rights." -}}
{{- end -}}
{{- if .Values.sourceSecrets -}}
{{- $all = append $all "Users who can read the release (\"helm get values\") can read the passwords in sourceSecrets. Create the Secrets yourself after the trial." -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* Warnings about the time in which the webhook does not answer, as JSON. */}}
{{- define "pull-secret-webhook.failureWarnings" -}}
{{- $all := list -}}
{{- $policies := include "pull-secret-webhook.failurePolicies" . | fromJson -}}
{{- if eq $policies.pods "Ignore" -}}
{{- $all = append $all "A Pod that is created while the webhook does not answer has only the references of its ServiceAccount. The API server counts such calls in apiserver_admission_webhook_fail_open_count. Set webhook.failurePolicy.pods=Fail to reject such Pods." -}}
{{- else -}}
{{- $all = append $all "webhook.failurePolicy.pods is Fail: while the webhook does not answer, Pods that lack a reference cannot be created in selected namespaces." -}}
{{- end -}}
{{- if eq $policies.serviceAccounts "Fail" -}}
{{- $all = append $all "webhook.failurePolicy.serviceAccounts is Fail: while the webhook does not answer, ServiceAccounts that lack a reference cannot be created or changed in selected namespaces. This includes \"default\" of a new namespace." -}}
{{- end -}}
{{- $fewest := .Values.webhook.autoscaling.enabled | ternary .Values.webhook.autoscaling.minReplicas .Values.webhook.replicas | int -}}
{{- if and .Values.deployments.enabled (lt $fewest 2) -}}
{{- $all = append $all "The webhook can run with a single replica: it is unavailable whenever the node of that replica is drained or lost." -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}
