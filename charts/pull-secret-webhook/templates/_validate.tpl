{{/* Checks that the schema cannot express, or not with a clear message. The programs check the same, but only after the installation. */}}
{{- define "pull-secret-webhook.validate" -}}
{{- if eq .Values.optIn.value "disabled" -}}
{{- fail "optIn.value: \"disabled\" is reserved for the opt-out of a single object; choose another value" -}}
{{- end -}}
{{- if not (or .Values.deployments.enabled .Values.webhook.url) -}}
{{- fail "webhook.url: required if deployments.enabled is false, so that the API server can reach the webhook" -}}
{{- end -}}
{{- if regexMatch ":[^/]*$|@" .Values.image.repository -}}
{{- fail (printf "image.repository: %q contains a tag or a digest; set image.tag or image.digest instead" .Values.image.repository) -}}
{{- end -}}
{{- if eq (int .Values.webhook.securePort) (int .Values.webhook.metricsPort) -}}
{{- fail (printf "webhook.metricsPort: %d is also securePort; choose two different ports" (int .Values.webhook.metricsPort)) -}}
{{- end -}}
{{- if and .Values.webhook.hostNetwork (or (lt (int .Values.webhook.securePort) 1024) (lt (int .Values.webhook.metricsPort) 1024)) -}}
{{- fail "webhook.hostNetwork: the Pods lack the right to use ports below 1024 of the node; choose higher ports" -}}
{{- end -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- include "pull-secret-webhook.validateNames" . -}}
{{- include "pull-secret-webhook.validatePem" . -}}
{{- include "pull-secret-webhook.validateLifetimes" . -}}
{{- include "pull-secret-webhook.validateSourceSecrets" . -}}
{{- include "pull-secret-webhook.validateAutoscaling" .Values.webhook -}}
{{- include "pull-secret-webhook.validateMonitoring" . -}}
{{- end -}}

{{/*
Checks of values that become rights or parts of the guard. They are repeated here, because Helm can skip the schema. A rule with
an empty name in its resourceNames would apply to every listed Secret.
*/}}
{{- define "pull-secret-webhook.validateGrants" -}}
{{- $checked := dict "retired" .Values.retired "excludedNamespaces" .Values.excludedNamespaces -}}
{{- range $path, $names := $checked -}}
{{- include "pull-secret-webhook.validateList" (dict "path" $path "value" $names) -}}
{{- range $index, $name := $names }}{{ include "pull-secret-webhook.validateName" (dict "path" (printf "%s[%d]" $path $index) "value" $name) }}{{ end -}}
{{- end -}}
{{- include "pull-secret-webhook.validateList" (dict "path" "pullSecrets" "value" .Values.pullSecrets) -}}
{{- range $index, $pullSecret := .Values.pullSecrets -}}
{{- $path := printf "pullSecrets[%d]" $index -}}
{{- if not (kindIs "map" .) }}{{ fail (printf "%s: must be a mapping with a name and its sources" $path) }}{{ end -}}
{{- include "pull-secret-webhook.validateName" (dict "path" (printf "%s.name" $path) "value" .name) -}}
{{- include "pull-secret-webhook.validateList" (dict "path" (printf "%s.sources" $path) "value" .sources) -}}
{{- range $position, $source := .sources -}}
{{- $path := printf "%s.sources[%d]" $path $position -}}
{{- if not (kindIs "map" .) }}{{ fail (printf "%s: must be a mapping with a secretName" $path) }}{{ end -}}
{{- include "pull-secret-webhook.validateName" (dict "path" (printf "%s.secretName" $path) "value" .secretName) -}}
{{- range .namespaces -}}
{{- if not (and (kindIs "string" .) (regexMatch `^[a-z0-9*?\[\]!-]+$` .)) -}}
{{- fail (printf "%s.namespaces: %s is not a valid pattern for names of namespaces" $path (toJson .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := dict "optIn.label" .Values.optIn.label "optIn.value" .Values.optIn.value -}}
{{- if not (and (kindIs "string" $value) $value) }}{{ fail (printf "%s: must be a string that is not empty" $key) }}{{ end -}}
{{- end -}}
{{- range $key, $value := .Values.commonLabels -}}
{{- if or (hasPrefix "rbac.authorization.k8s.io/" $key) (contains "aggregate-to-" $key) -}}
{{- fail (printf "commonLabels: %q would add the rights of the release to another ClusterRole, such as admin or view; leave it out" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The argument is {path, value}, here and below. */}}
{{- define "pull-secret-webhook.validateList" -}}
{{- if not (kindIs "slice" .value) }}{{ fail (printf "%s: must be a list; write [] for an empty list" .path) }}{{ end -}}
{{- end -}}

{{- define "pull-secret-webhook.validateName" -}}
{{- if not (and (kindIs "string" .value) (le (len (toString .value)) 253) (regexMatch `^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$` (toString .value))) -}}
{{- fail (printf "%s: %s is not a valid name; use lower-case letters, digits, - and ." .path (toJson .value)) -}}
{{- end -}}
{{- end -}}

{{- define "pull-secret-webhook.validateNames" -}}
{{- $fullname := include "pull-secret-webhook.fullname" . -}}
{{- if contains "." $fullname -}}
{{- fail (printf "fullnameOverride: required, because the name of a Service (%q) must not contain a dot" $fullname) -}}
{{- end -}}
{{- $seen := list -}}
{{- $certificates := list (include "pull-secret-webhook.tlsSecret" .) (include "pull-secret-webhook.caSecret" .) (include "pull-secret-webhook.issuerSecret" .) -}}
{{- range $index, $pullSecret := .Values.pullSecrets -}}
{{- if has .name $seen -}}
{{- fail (printf "pullSecrets[%d].name: %q is a duplicate; give each pull secret a unique name" $index .name) -}}
{{- end -}}
{{- if has .name $.Values.retired -}}
{{- fail (printf "pullSecrets[%d].name: %q is also in retired; remove it from one of the two lists" $index .name) -}}
{{- end -}}
{{- $seen = append $seen .name -}}
{{- end -}}
{{- $copies := include "pull-secret-webhook.copyNames" . | fromJsonArray -}}
{{- $sources := include "pull-secret-webhook.sourceNames" . | fromJsonArray -}}
{{- range concat $copies $sources -}}
{{- if has . $certificates -}}
{{- fail (printf "pullSecrets: %q is the name of a Secret that holds the webhook's certificate; choose another" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "pull-secret-webhook.validatePem" -}}
{{- range $name, $pem := dict "caBundle" .Values.webhook.caBundle "clientCA" .Values.webhook.clientCA -}}
{{- if contains "PRIVATE KEY" $pem -}}
{{- fail (printf "webhook.%s: contains a private key; use only certificates" $name) -}}
{{- end -}}
{{- if and $pem (not (contains "BEGIN CERTIFICATE-" $pem)) -}}
{{- fail (printf "webhook.%s: contains no certificate; use PEM certificates" $name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.webhook.caBundle (ne .Values.certificates.mode "provided") -}}
{{- fail (printf "webhook.caBundle: is set automatically in the mode %s; set it only with certificates.mode provided" .Values.certificates.mode) -}}
{{- end -}}
{{- if and .Values.webhook.clientAllowedNames (not .Values.webhook.clientCA) -}}
{{- fail "webhook.clientAllowedNames: requires webhook.clientCA, because a name must be signed by an authority" -}}
{{- end -}}
{{- end -}}

{{- define "pull-secret-webhook.validateLifetimes" -}}
{{- $lifetime := include "pull-secret-webhook.seconds" .Values.certificates.lifetime | int -}}
{{- $settle := include "pull-secret-webhook.seconds" .Values.certificates.caSettle | int -}}
{{- $least := eq .Values.certificates.mode "cert-manager" | ternary 3600 600 -}}
{{- if and (ne .Values.certificates.mode "provided") (lt $lifetime $least) -}}
{{- fail (printf "certificates.lifetime: %s is too short to reach every replica in time; use at least %dm" .Values.certificates.lifetime (div $least 60)) -}}
{{- end -}}
{{- $authority := include "pull-secret-webhook.seconds" .Values.certificates.caLifetime | int -}}
{{- if gt $lifetime $authority -}}
{{- fail (printf "certificates.lifetime: %s is longer than caLifetime, %s; a certificate must not outlive its authority" .Values.certificates.lifetime .Values.certificates.caLifetime) -}}
{{- end -}}
{{- /* An eighth: signed just before two thirds of the authority, and renewed with a quarter of it left, of which the alerts warn. */ -}}
{{- $ownAuthority := and (eq .Values.certificates.mode "cert-manager") (not .Values.certificates.issuerRef.name) -}}
{{- if and $ownAuthority (gt (mul $lifetime 8) $authority) -}}
{{- fail (printf "certificates.lifetime: %s is more than an eighth of caLifetime, %s; cert-manager does not renew a certificate when its authority expires" .Values.certificates.lifetime .Values.certificates.caLifetime) -}}
{{- end -}}
{{- if gt (mul $settle 4) $lifetime -}}
{{- fail (printf "certificates.caSettle: %s is more than a quarter of lifetime, %s; a certificate could expire during that time" .Values.certificates.caSettle .Values.certificates.lifetime) -}}
{{- end -}}
{{- end -}}

{{- define "pull-secret-webhook.validateSourceSecrets" -}}
{{- $sources := include "pull-secret-webhook.sourceNames" . | fromJsonArray -}}
{{- $seen := list -}}
{{- range $index, $secret := .Values.sourceSecrets -}}
{{- if has .name $seen -}}
{{- fail (printf "sourceSecrets[%d].name: %q is a duplicate; remove one of them" $index .name) -}}
{{- end -}}
{{- if not (has .name $sources) -}}
{{- fail (printf "sourceSecrets[%d].name: %q is not a source of any pull secret; add it to pullSecrets[].sources, or remove it" $index .name) -}}
{{- end -}}
{{- $seen = append $seen .name -}}
{{- end -}}
{{- end -}}

{{- define "pull-secret-webhook.validateAutoscaling" -}}
{{- if .autoscaling.enabled -}}
{{- if gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas) -}}
{{- fail (printf "webhook.autoscaling: minReplicas, %d, is more than maxReplicas, %d" (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if not (dig "requests" "cpu" "" .resources) -}}
{{- fail "webhook.autoscaling: requires webhook.resources.requests.cpu, the base of its target" -}}
{{- end -}}
{{- end -}}
{{- end -}}
