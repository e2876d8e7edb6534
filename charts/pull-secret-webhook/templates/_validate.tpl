{{/* Checks that the schema cannot express, or not with a clear message. The programs check the same, but only after the installation. */}}
{{- define "pull-secret-webhook.validate" -}}
{{- include "pull-secret-webhook.validateValues" . -}}
{{- if not .Values.enabled -}}
{{- fail (printf "enabled: false has no effect on an installed chart; write \"condition: %s.enabled\" at the dependency in the Chart.yaml of the umbrella chart" .Chart.Name) -}}
{{- end -}}
{{- if not (or .Values.pullSecrets .Values.retired .Values.allowNoPullSecrets) -}}
{{- fail "pullSecrets: is empty, so the release would do nothing; write [{name: registry-credentials, sources: [harbor]}] with the names of your Secrets, or set allowNoPullSecrets to true" -}}
{{- end -}}
{{- if eq .Values.optIn.value "disabled" -}}
{{- fail "optIn.value: \"disabled\" is reserved for the opt-out of a single object; choose another value" -}}
{{- end -}}
{{- if not (or .Values.deployments.enabled .Values.webhook.url) -}}
{{- fail "webhook.url: required if deployments.enabled is false, so that the API server can reach the webhook" -}}
{{- end -}}
{{- include "pull-secret-webhook.validateImage" . -}}
{{- if eq (int .Values.webhook.securePort) (int .Values.webhook.metricsPort) -}}
{{- fail (printf "webhook.metricsPort: %d is also securePort; choose two different ports" (int .Values.webhook.metricsPort)) -}}
{{- end -}}
{{- if and .Values.webhook.hostNetwork (or (lt (int .Values.webhook.securePort) 1024) (lt (int .Values.webhook.metricsPort) 1024)) -}}
{{- fail "webhook.hostNetwork: the Pods lack the right to use ports below 1024 of the node; choose higher ports" -}}
{{- end -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- include "pull-secret-webhook.validatePullSecrets" . -}}
{{- include "pull-secret-webhook.validateNames" . -}}
{{- include "pull-secret-webhook.validateIdentities" . -}}
{{- include "pull-secret-webhook.validatePem" . -}}
{{- include "pull-secret-webhook.validateLifetimes" . -}}
{{- include "pull-secret-webhook.validateSourceSecrets" . -}}
{{- include "pull-secret-webhook.validateAutoscaling" .Values.webhook -}}
{{- include "pull-secret-webhook.validateMonitoring" . -}}
{{- if and .Values.providers.image (not (semverCompare ">=1.33.0-0" .Capabilities.KubeVersion.Version)) -}}
{{- fail (printf "providers.image: is mounted as an image volume, which Kubernetes %s does not have; put the providers into an image derived from that of the chart" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}

{{/*
Checks of values that become rights or parts of the guard. They are repeated here, because Helm can skip the schema. A rule with
an empty name in its resourceNames would apply to every listed Secret.
*/}}
{{- define "pull-secret-webhook.validateGrants" -}}
{{- include "pull-secret-webhook.validateList" (dict "path" "retired" "value" .Values.retired) -}}
{{- range $index, $name := .Values.retired }}{{ include "pull-secret-webhook.validateName" (dict "path" (printf "retired[%d]" $index) "value" $name) }}{{ end -}}
{{- include "pull-secret-webhook.validateExcluded" .Values.excludedNamespaces -}}
{{- if not (kindIs "bool" .Values.healing.enabled) -}}
{{- fail (printf "healing.enabled: %s is neither true nor false" (toJson .Values.healing.enabled)) -}}
{{- end -}}
{{- if not (has .Values.optIn.scope (list "Labelled" "All")) -}}
{{- fail (printf "optIn.scope: %s is neither Labelled nor All" (toJson .Values.optIn.scope)) -}}
{{- end -}}
{{- include "pull-secret-webhook.validateList" (dict "path" "pullSecrets" "value" .Values.pullSecrets) -}}
{{- range $index, $pullSecret := .Values.pullSecrets -}}
{{- $path := printf "pullSecrets[%d]" $index -}}
{{- if not (kindIs "map" .) }}{{ fail (printf "%s: must be a mapping with a name and its sources" $path) }}{{ end -}}
{{- include "pull-secret-webhook.validateName" (dict "path" (printf "%s.name" $path) "value" .name) -}}
{{- include "pull-secret-webhook.validateTenantOwned" (dict "path" $path "value" .) -}}
{{- if not .tenantOwned }}{{ include "pull-secret-webhook.validateList" (dict "path" (printf "%s.sources" $path) "value" .sources) }}{{ end -}}
{{- range $position, $source := .sources -}}
{{- $path := printf "%s.sources[%d]" $path $position -}}
{{- if kindIs "string" . -}}
{{- include "pull-secret-webhook.validateName" (dict "path" $path "value" .) -}}
{{- else if not (kindIs "map" .) -}}
{{- fail (printf "%s: must be the name of a Secret, or a mapping with a secretName" $path) -}}
{{- else -}}
{{- if or .credentialProvider .serviceAccountToken -}}
{{- include "pull-secret-webhook.validateRenewing" (dict "path" $path "source" . "root" $) -}}
{{- else -}}
{{- if kindIs "invalid" .secretName }}{{ fail (printf "%s.secretName: is missing; write the name of a Secret of the release namespace" $path) }}{{ end -}}
{{- include "pull-secret-webhook.validateName" (dict "path" (printf "%s.secretName" $path) "value" .secretName) -}}
{{- end -}}
{{- range .namespaces -}}
{{- if not (and (kindIs "string" .) (regexMatch `^[a-z0-9*?\[\]!-]+$` .)) -}}
{{- fail (printf "%s.namespaces: %s is not a valid pattern for names of namespaces" $path (toJson .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $index, $pullSecret := .Values.pullSecrets -}}
{{- range ((.rollout | default dict).canary | default dict).namespaces -}}
{{- if not (and (kindIs "string" .) (regexMatch `^[a-z0-9*?\[\]!-]+$` .)) -}}
{{- fail (printf "pullSecrets[%d].rollout.canary.namespaces: %s is not a valid pattern for names of namespaces" $index (toJson .)) -}}
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

{{/* A pull secret has sources, or its Secret belongs to each namespace. The argument is {path, value}. */}}
{{- define "pull-secret-webhook.validateTenantOwned" -}}
{{- if not (has (kindOf .value.tenantOwned) (list "invalid" "bool")) }}{{ fail (printf "%s.tenantOwned: must be true or false" .path) }}{{ end -}}
{{- if .value.tenantOwned -}}
{{- range list "sources" "rollout" "copies" -}}
{{- if and (hasKey $.value .) (not (kindIs "invalid" (get $.value .))) }}{{ fail (printf "%s.%s: is not allowed with tenantOwned: true, because the Secret belongs to each namespace; leave it out" $.path .) }}{{ end -}}
{{- end -}}
{{- else if kindIs "invalid" .value.sources -}}
{{- fail (printf "%s.sources: is missing; write a list such as [harbor], or write tenantOwned: true for a Secret that each namespace has of its own" .path) -}}
{{- end -}}
{{- end -}}

{{/*
Checks of a source that renews itself, as far as they become rights or parts of the guard. The argument is {root, path, source}.
*/}}
{{- define "pull-secret-webhook.validateRenewing" -}}
{{- $kinds := list -}}
{{- range list "secretName" "credentialProvider" "serviceAccountToken" }}{{ if get $.source . }}{{ $kinds = append $kinds . }}{{ end }}{{ end -}}
{{- if gt (len $kinds) 1 -}}
{{- fail (printf "%s: has %s; a source has one of them" .path (join " and " $kinds)) -}}
{{- end -}}
{{- $kind := first $kinds -}}
{{- $path := printf "%s.%s" .path $kind -}}
{{- $settings := get .source $kind -}}
{{- if not (kindIs "map" $settings) }}{{ fail (printf "%s: must be a mapping" $path) }}{{ end -}}
{{- if not (and (kindIs "string" $settings.name) (regexMatch `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$` $settings.name)) -}}
{{- fail (printf "%s.name: %s is not a valid name; use up to 63 lower-case letters, digits and -" $path (toJson $settings.name)) -}}
{{- end -}}
{{- if not (has (kindOf $settings.perNamespace) (list "invalid" "bool")) }}{{ fail (printf "%s.perNamespace: must be true or false" $path) }}{{ end -}}
{{- $token := eq $kind "serviceAccountToken" | ternary $settings $settings.serviceAccountToken -}}
{{- if $token -}}
{{- $path := eq $kind "serviceAccountToken" | ternary $path (printf "%s.serviceAccountToken" $path) -}}
{{- include "pull-secret-webhook.validateName" (dict "path" (printf "%s.serviceAccountName" $path) "value" $token.serviceAccountName) -}}
{{- if not (and (kindIs "string" $token.audience) (trim $token.audience)) -}}
{{- fail (printf "%s.audience: must be a string that is not empty; a token without an audience is a credential for the API server" $path) -}}
{{- end -}}
{{- if regexMatch `^(https://)?kubernetes(\.default(\.svc(\.cluster\.local)?)?)?/?$|^api$` $token.audience -}}
{{- fail (printf "%s.audience: %q is an audience of the API server, and a token for it is a credential for the cluster; choose another" $path $token.audience) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The argument is the list of excluded namespaces: names and shell-style patterns. */}}
{{- define "pull-secret-webhook.validateExcluded" -}}
{{- include "pull-secret-webhook.validateList" (dict "path" "excludedNamespaces" "value" .) -}}
{{- range $index, $name := . -}}
{{- $path := printf "excludedNamespaces[%d]" $index -}}
{{- if and (kindIs "string" $name) (regexMatch `^\*+$` $name) -}}
{{- fail (printf "%s: %q excludes every namespace, so that nothing would happen; name those that are not to be changed" $path $name) -}}
{{- end -}}
{{- if not (and (kindIs "string" $name) (regexMatch `[*?\[]` $name) (regexMatch `^[a-z0-9*?\[\]!-]+$` $name)) -}}
{{- include "pull-secret-webhook.validateName" (dict "path" $path "value" $name) -}}
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
{{- /* Newer API servers can accept a digit. */ -}}
{{- if and .Values.deployments.enabled (regexMatch "^[0-9]" $fullname) (semverCompare "<1.34.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "fullnameOverride: required, because the name of a Service (%q) must begin with a letter" $fullname) -}}
{{- end -}}
{{- $seen := list -}}
{{- $own := list (include "pull-secret-webhook.tlsSecret" .) (include "pull-secret-webhook.caSecret" .) (include "pull-secret-webhook.issuerSecret" .) (include "pull-secret-webhook.stateSecret" .) -}}
{{- range $index, $pullSecret := .Values.pullSecrets -}}
{{- if has .name $seen -}}
{{- fail (printf "pullSecrets[%d].name: %q is a duplicate; give each pull secret a unique name" $index .name) -}}
{{- end -}}
{{- if and (has .name $.Values.retired) (not .tenantOwned) -}}
{{- fail (printf "pullSecrets[%d].name: %q is also in retired; remove it from one of the two lists" $index .name) -}}
{{- end -}}
{{- $seen = append $seen .name -}}
{{- end -}}
{{- $copies := include "pull-secret-webhook.copyNames" . | fromJsonArray -}}
{{- $sources := include "pull-secret-webhook.sourceNames" . | fromJsonArray -}}
{{- range concat $copies $sources -}}
{{- if has . $own -}}
{{- fail (printf "pullSecrets: %q is the name of a Secret that the release keeps for itself; choose another" .) -}}
{{- end -}}
{{- end -}}
{{- $renewing := dict -}}
{{- range $index, $pullSecret := .Values.pullSecrets -}}
{{- range $position, $source := .sources -}}
{{- if kindIs "map" $source -}}
{{- with include "pull-secret-webhook.issuedName" (dict "root" $ "source" $source) -}}
{{- $settings := omit $source "namespaces" | toJson -}}
{{- if ne (get $renewing . | default $settings) $settings -}}
{{- fail (printf "pullSecrets[%d].sources[%d]: its name is also the name of another source with other settings; rename one" $index $position) -}}
{{- end -}}
{{- $_ := set $renewing . $settings -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $issued := include "pull-secret-webhook.issuedNames" . | fromJsonArray -}}
{{- range $copies -}}
{{- if has . $issued -}}
{{- fail (printf "pullSecrets: %q is also the Secret of a source that renews itself; choose another name" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The names of sources must differ, too: the schema takes "harbor" and {secretName: harbor} for two different ones. */}}
{{- define "pull-secret-webhook.validatePullSecrets" -}}
{{- range $index, $pullSecret := .Values.pullSecrets -}}
{{- $path := printf "pullSecrets[%d]" $index -}}
{{- $seen := list -}}
{{- range $position, $source := include "pull-secret-webhook.sources" (dict "root" $ "sources" .sources) | fromJsonArray -}}
{{- with .secretName | default (.serviceAccountToken | default dict).name -}}
{{- if has . $seen -}}
{{- fail (printf "%s.sources[%d]: %q is a duplicate; remove one of them" $path $position .) -}}
{{- end -}}
{{- $seen = append $seen . -}}
{{- end -}}
{{- end -}}
{{- $pods := .pods | default "Always" -}}
{{- if and (eq $pods "WhenImageMatches") (not .registries) -}}
{{- fail (printf "%s.registries: is required with pods: WhenImageMatches; write the registries of the images, such as [ghcr.io]" $path) -}}
{{- else if and (ne $pods "WhenImageMatches") .registries -}}
{{- fail (printf "%s.registries: has no effect with pods: %s; write pods: WhenImageMatches, or leave it out" $path $pods) -}}
{{- end -}}
{{- include "pull-secret-webhook.validateSelector" (dict "path" (printf "%s.namespaceSelector" $path) "value" .namespaceSelector) -}}
{{- include "pull-secret-webhook.validateRollout" (dict "path" $path "value" .) -}}
{{- range $field := list "labels" "annotations" -}}
{{- range $key, $_ := get ($pullSecret.copies | default dict) $field | default dict -}}
{{- if or (hasPrefix "pullsecrets.webhook/" $key) (eq $key "app.kubernetes.io/managed-by") -}}
{{- fail (printf "%s.copies.%s: %q is one by which copies are recognised; choose another key" $path $field $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name := list "namespaceSelector" "objectSelector" -}}
{{- include "pull-secret-webhook.validateSelector" (dict "path" (printf "webhook.%s" $name) "value" (get $.Values.webhook $name)) -}}
{{- end -}}
{{- end -}}

{{- define "pull-secret-webhook.validateRollout" -}}
{{- $rollout := .value.rollout | default dict -}}
{{- range $position, $source := .value.sources -}}
{{- if kindIs "map" $source -}}
{{- $path := printf "%s.sources[%d]" $.path $position -}}
{{- with .credentialProvider -}}
{{- include "pull-secret-webhook.validateDuration" (dict "path" (printf "%s.credentialProvider.defaultLifetime" $path) "value" .defaultLifetime "least" "10s" "most" "30d") -}}
{{- end -}}
{{- with .serviceAccountToken -}}
{{- include "pull-secret-webhook.validateDuration" (dict "path" (printf "%s.serviceAccountToken.lifetime" $path) "value" .lifetime "least" "600s" "most" "30d") -}}
{{- end -}}
{{- if and (hasKey $.value "rollout") (or .credentialProvider .serviceAccountToken) -}}
{{- fail (printf "%s.rollout: stands beside a source that renews itself, and each renewal would be a rotation; give that source a pull secret of its own" $.path) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $rollout.prove -}}
{{- if not (or (dig "login" true .) .pull .imagesFromPods) -}}
{{- fail (printf "%s.rollout.prove.login: must be true without pull, because nothing would be proved; leave out prove" $.path) -}}
{{- end -}}
{{- end -}}
{{- with $rollout.canary -}}
{{- range .namespaces -}}
{{- if regexMatch `^\*+$` . -}}
{{- fail (printf "%s.rollout.canary.namespaces: %q matches every namespace; name those that get a new content first" $.path .) -}}
{{- end -}}
{{- end -}}
{{- include "pull-secret-webhook.validateDuration" (dict "path" (printf "%s.rollout.canary.soak" $.path) "value" .soak "least" "1s" "most" "7d") -}}
{{- end -}}
{{- include "pull-secret-webhook.validateDuration" (dict "path" (printf "%s.rollout.overlap" .path) "value" $rollout.overlap "least" "0s" "most" "30d") -}}
{{- end -}}

{{/* The argument is {path, value, least, most}: durations; the value can be absent. */}}
{{- define "pull-secret-webhook.validateDuration" -}}
{{- if .value -}}
{{- $seconds := include "pull-secret-webhook.seconds" .value | atoi -}}
{{- if or (lt $seconds (include "pull-secret-webhook.seconds" .least | atoi)) (gt $seconds (include "pull-secret-webhook.seconds" .most | atoi)) -}}
{{- fail (printf "%s: %q is out of range; write at least %s and at most %s" .path .value .least .most) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "pull-secret-webhook.validateSelector" -}}
{{- range $index, $expression := (.value | default dict).matchExpressions -}}
{{- $path := printf "%s.matchExpressions[%d].values" $.path $index -}}
{{- $needs := has .operator (list "In" "NotIn") -}}
{{- if and $needs (not .values) -}}
{{- fail (printf "%s: is required with the operator %s; write at least one value" $path .operator) -}}
{{- else if and (not $needs) .values -}}
{{- fail (printf "%s: has no effect with the operator %s; leave it out" $path .operator) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "pull-secret-webhook.validateImage" -}}
{{- $repository := .Values.image.repository -}}
{{- if regexMatch ":[^/]*$|@" $repository -}}
{{- fail (printf "image.repository: %q contains a tag or a digest; set image.tag or image.digest instead" $repository) -}}
{{- end -}}
{{- $registry := include "pull-secret-webhook.imageRegistry" . -}}
{{- if and $registry (regexMatch `^(localhost|[^/]*[.:][^/]*)/` $repository) -}}
{{- $name := dig "imageRegistry" "" (.Values.global | default dict) | empty | not | ternary "global.imageRegistry" "image.registry" -}}
{{- fail (printf "image.repository: %q begins with the name of a registry, and %s is %q; leave that name out of image.repository" $repository $name $registry) -}}
{{- end -}}
{{- if and .Values.deployments.enabled (not $registry) (eq $repository "pull-secret-webhook") -}}
{{- fail "image.repository: is not set; write the repository that you pushed the image to, such as registry.example.com/platform/pull-secret-webhook, or localhost/pull-secret-webhook for an image that you loaded onto each node" -}}
{{- end -}}
{{- end -}}

{{- define "pull-secret-webhook.validateIdentities" -}}
{{- $users := dict -}}
{{- range $component := list "webhook" "sync" "cleanup" -}}
{{- $values := (get $.Values .).serviceAccount -}}
{{- if not (or $values.create $values.name) -}}
{{- fail (printf "%s.serviceAccount.name: is required, because create is false; write the name of the existing ServiceAccount" .) -}}
{{- end -}}
{{- $name := include "pull-secret-webhook.serviceAccountName" (dict "root" $ "component" .) -}}
{{- if hasKey $users $name -}}
{{- fail (printf "%s.serviceAccount.name: %q is also that of %s; use another, because each component has its own rights" . $name (get $users $name)) -}}
{{- end -}}
{{- $_ := set $users $name . -}}
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
{{- if and (eq .Values.certificates.mode "self-managed") (gt $authority 315360000) -}}
{{- fail (printf "certificates.caLifetime: %s is too long; use at most 3650d" .Values.certificates.caLifetime) -}}
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
