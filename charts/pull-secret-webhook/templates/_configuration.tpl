{{/* The configuration document that the programs read. */}}
{{- define "pull-secret-webhook.configuration" -}}
apiVersion: pullsecrets.webhook/v1alpha1
kind: Configuration
optIn:
  label: {{ .Values.optIn.label | quote }}
  value: {{ .Values.optIn.value | quote }}
  mayDecline: {{ .Values.optIn.mayDecline }}
  scope: {{ .Values.optIn.scope }}
excludedNamespaces: {{ .Values.excludedNamespaces | toJson }}
{{- $pullSecrets := list }}
{{- range .Values.pullSecrets }}
{{- if not .tenantOwned }}
{{- $pullSecrets = append $pullSecrets (merge (dict "sources" (include "pull-secret-webhook.sources" (dict "root" $ "sources" .sources) | fromJsonArray)) .) }}
{{- else }}
{{- $pullSecrets = append $pullSecrets . }}
{{- end }}
{{- end }}
pullSecrets:
  {{- toYaml $pullSecrets | nindent 2 }}
retired: {{ .Values.retired | toJson }}
healing:
  enabled: {{ .Values.healing.enabled }}
  perMinute: {{ .Values.healing.perMinute }}
{{- end -}}

{{/* The names of excluded namespaces, as JSON. With the scope All, those of Kubernetes itself are always among them. */}}
{{- define "pull-secret-webhook.excludedNames" -}}
{{- $names := list -}}
{{- range .Values.excludedNamespaces }}{{ if not (regexMatch `[*?\[]` .) }}{{ $names = append $names . }}{{ end }}{{ end -}}
{{- if eq .Values.optIn.scope "All" }}{{ $names = concat $names (list "kube-system" "kube-public" "kube-node-lease") }}{{ end -}}
{{- append $names (include "pull-secret-webhook.namespace" .) | uniq | toJson -}}
{{- end -}}

{{/* The shell-style patterns of excluded namespaces, as JSON. */}}
{{- define "pull-secret-webhook.excludedPatterns" -}}
{{- $patterns := list -}}
{{- range .Values.excludedNamespaces }}{{ if regexMatch `[*?\[]` . }}{{ $patterns = append $patterns . }}{{ end }}{{ end -}}
{{- $patterns | toJson -}}
{{- end -}}

{{/* The condition (CEL) that no pattern excludes the namespace of the request. A selector of labels cannot express it. */}}
{{- define "pull-secret-webhook.excludedCondition" -}}
{{- with include "pull-secret-webhook.excludedPatterns" . | fromJsonArray -}}
- name: namespace-not-excluded
  expression: >-
    !request.namespace.matches({{ include "pull-secret-webhook.guardPatterns" . }})
{{- end -}}
{{- end -}}

{{/*
Sources as mappings, as JSON: each can be the name of a Secret alone. A source that renews itself gets the name of the Secret that sync
keeps for it. The argument is {root, sources}.
*/}}
{{- define "pull-secret-webhook.sources" -}}
{{- $sources := list -}}
{{- range .sources -}}
{{- $source := kindIs "string" . | ternary (dict "secretName" .) . -}}
{{- with include "pull-secret-webhook.issuedName" (dict "root" $.root "source" $source) }}{{ $source = merge (dict "secretName" .) $source }}{{ end -}}
{{- $sources = append $sources $source -}}
{{- end -}}
{{- $sources | toJson -}}
{{- end -}}

{{/*
The Secret of a source that renews itself; empty for other sources, and for a token that only the copies keep. The argument is {root, source}.
*/}}
{{- define "pull-secret-webhook.issuedName" -}}
{{- with .source.credentialProvider | default .source.serviceAccountToken -}}
{{- if not .perNamespace }}{{ include "pull-secret-webhook.fullname" $.root }}-issued-{{ .name }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The names of these Secrets, as JSON. */}}
{{- define "pull-secret-webhook.issuedNames" -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- $names := list -}}
{{- range .Values.pullSecrets -}}
{{- range .sources -}}
{{- if kindIs "map" . -}}
{{- with include "pull-secret-webhook.issuedName" (dict "root" $ "source" .) }}{{ $names = append $names . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $names | uniq | toJson -}}
{{- end -}}

{{/* The ServiceAccounts of the release namespace whose tokens sync can request, each with the audiences, as JSON. */}}
{{- define "pull-secret-webhook.tokenAudiences" -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- $found := dict -}}
{{- range .Values.pullSecrets -}}
{{- range .sources -}}
{{- if kindIs "map" . -}}
{{- with .serviceAccountToken | default (.credentialProvider | default dict).serviceAccountToken -}}
{{- if not .perNamespace }}{{ $_ := set $found .serviceAccountName (append (get $found .serviceAccountName | default list) .audience | uniq) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/*
The same of the ServiceAccounts of each selected namespace, by pull secret, as JSON: {pull secret: {ServiceAccount: [audience]}}.
*/}}
{{- define "pull-secret-webhook.namespaceTokens" -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- $found := dict -}}
{{- range $pullSecret := .Values.pullSecrets -}}
{{- $accounts := dict -}}
{{- range .sources -}}
{{- if kindIs "map" . -}}
{{- with .serviceAccountToken -}}
{{- if .perNamespace }}{{ $_ := set $accounts .serviceAccountName (append (get $accounts .serviceAccountName | default list) .audience | uniq) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $accounts }}{{ $_ := set $found $pullSecret.name . }}{{ end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/*
The namespaces whose Pods sync may list, as JSON: the canary namespaces that are named in full, of pull secrets with watchPods. A role
cannot be granted for a pattern.
*/}}
{{- define "pull-secret-webhook.watchedNamespaces" -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- $names := list -}}
{{- range .Values.pullSecrets -}}
{{- with (.rollout | default dict).canary -}}
{{- if eq (toString .watchPods) "true" -}}
{{- range .namespaces }}{{ if not (regexMatch `[*?\[]` .) }}{{ $names = append $names . }}{{ end }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $names | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* "true" if the images for a proof are taken from the Pods of the cluster. */}}
{{- define "pull-secret-webhook.readsImagesOfPods" -}}
{{- $reads := false -}}
{{- range .Values.pullSecrets }}{{ with (.rollout | default dict).prove }}{{ if eq (toString .imagesFromPods) "true" }}{{ $reads = true }}{{ end }}{{ end }}{{ end -}}
{{- if $reads }}true{{ end -}}
{{- end -}}

{{/* "true" if a new credential is proved at its registry. */}}
{{- define "pull-secret-webhook.proves" -}}
{{- range .Values.pullSecrets }}{{ if hasKey (.rollout | default dict) "prove" }}true{{ end }}{{ end -}}
{{- end -}}

{{/* "true" if a source runs a credential provider. */}}
{{- define "pull-secret-webhook.runsProviders" -}}
{{- range .Values.pullSecrets }}{{ range .sources }}{{ if kindIs "map" . }}{{ if .credentialProvider }}true{{ end }}{{ end }}{{ end }}{{ end -}}
{{- end -}}

{{/* The folder in the container of sync where the credential providers are. */}}
{{- define "pull-secret-webhook.providersFolder" -}}/opt/pull-secret-webhook/providers{{- end -}}

{{/*
Names for resourceNames, as JSON. A rule with an empty resourceNames applies to every object. Templates must omit the whole rule if
the list is "[]".
*/}}
{{- define "pull-secret-webhook.copyNames" -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- $names := list -}}
{{- range .Values.pullSecrets }}{{ if not .tenantOwned }}{{ $names = append $names .name }}{{ end }}{{ end -}}
{{- concat $names .Values.retired | uniq | toJson -}}
{{- end -}}

{{/* The names of all references that sync adds and removes, as JSON: those of copies, and of Secrets that belong to the namespaces. */}}
{{- define "pull-secret-webhook.referenceNames" -}}
{{- $names := include "pull-secret-webhook.copyNames" . | fromJsonArray -}}
{{- range .Values.pullSecrets }}{{ $names = append $names .name }}{{ end -}}
{{- $names | uniq | toJson -}}
{{- end -}}

{{- define "pull-secret-webhook.sourceNames" -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- $names := list -}}
{{- range .Values.pullSecrets -}}
{{- range include "pull-secret-webhook.sources" (dict "root" $ "sources" .sources) | fromJsonArray }}{{ with .secretName }}{{ $names = append $names . }}{{ end }}{{ end -}}
{{- end -}}
{{- $names | uniq | toJson -}}
{{- end -}}

{{/* "true" if a decision at admission needs more data of a namespace than the API server has already matched. */}}
{{- define "pull-secret-webhook.needsNamespaceLabels" -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- if .Values.optIn.mayDecline }}true{{ end -}}
{{- range .Values.pullSecrets -}}
{{- $selector := .namespaceSelector | default dict -}}
{{- if or $selector.matchLabels $selector.matchExpressions }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/*
The condition (CEL) under which the API server calls the webhook: one of the configured names is missing in the list at the given
path. Most Pods then need no call, because they inherit the references of their ServiceAccount first. The condition searches for each
configured name in one pass of the API server, because the list can be long.
*/}}
{{- define "pull-secret-webhook.matchConditions" -}}
{{- $names := list -}}
{{- range .pullSecrets }}
{{- if not (and $.ofPods (eq (.pods | default "Always") "Never")) }}{{ $names = append $names .name }}{{ end -}}
{{- end -}}
- name: a-reference-is-missing
  {{- if $names }}
  expression: >-
    !has({{ .path }}) ||
    {{ $names | toJson }}.exists(name, !({"name": name} in {{ .path }}))
  {{- else }}
  expression: "false"
  {{- end }}
{{- end -}}
