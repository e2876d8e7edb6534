{{/* "true" where the policies are wanted and the cluster has them: v1 since Kubernetes 1.30. */}}
{{- define "pull-secret-webhook.guarded" -}}
{{- if and .Values.guard.enabled (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) }}true{{ end -}}
{{- end -}}

{{/* Metadata of a policy, and of its binding. The argument is {root, name}. */}}
{{- define "pull-secret-webhook.guardMetadata" -}}
{{- $name := printf "%s-%s" (include "pull-secret-webhook.fullname" .root) .name -}}
{{- include "pull-secret-webhook.metadata" (dict "root" .root "component" "guard" "name" $name "clusterWide" true) -}}
{{- end -}}

{{- define "pull-secret-webhook.guardBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "pull-secret-webhook.guardMetadata" . | nindent 2 }}
spec:
  policyName: {{ include "pull-secret-webhook.fullname" .root }}-{{ .name }}
  validationActions: [Deny]
{{- end -}}

{{/* The user name of a component's ServiceAccount, as a string of CEL. The argument is {root, component}. */}}
{{- define "pull-secret-webhook.guardUser" -}}
{{- $name := include "pull-secret-webhook.serviceAccountName" . -}}
{{ printf "system:serviceaccount:%s:%s" (include "pull-secret-webhook.namespace" .root) $name | toJson }}
{{- end -}}

{{/* The matchConditions of a policy about sync and cleanup. */}}
{{- define "pull-secret-webhook.guardCallers" -}}
matchConditions:
  - name: sync-or-cleanup
    expression: >-
      request.userInfo.username in
      [{{ include "pull-secret-webhook.guardUser" (dict "root" . "component" "sync") }},
      {{ include "pull-secret-webhook.guardUser" (dict "root" . "component" "cleanup") }}]
{{- end -}}

{{/* CEL: whether sync is the caller. */}}
{{- define "pull-secret-webhook.guardIsSync" -}}
request.userInfo.username == {{ include "pull-secret-webhook.guardUser" (dict "root" . "component" "sync") }}
{{- end -}}

{{/*
CEL variables for the pull secrets that apply to the namespace of the request, by the rules of webhook/rules/objects.py:
`due` has every configured name.
*/}}
{{- define "pull-secret-webhook.guardDue" -}}
- name: namespace_labels
  expression: namespaceObject.metadata.?labels.orValue({})
{{- if .Values.optIn.mayDecline }}
- name: declined
  expression: >-
    namespaceObject.metadata.?annotations[?"pullsecrets.webhook/decline"].orValue("").split(",").map(name, name.trim())
{{- end }}
- name: selected
  expression: >-
    !(request.namespace in {{ include "pull-secret-webhook.excludedNames" . }}) &&
    {{- with include "pull-secret-webhook.excludedPatterns" . | fromJsonArray }}
    !request.namespace.matches({{ include "pull-secret-webhook.guardPatterns" . }}) &&
    {{- end }}
    variables.namespace_labels[?{{ .Values.optIn.label | toJson }}].orValue("") {{ if eq .Values.optIn.scope "All" }}!= "disabled"{{ else }}== {{ .Values.optIn.value | toJson }}{{ end }}
- name: due
  expression: >-
    {
    {{- range $index, $pullSecret := .Values.pullSecrets }}
    {{- if $index }},{{ end }}
    {{ .name | toJson }}: variables.selected
    {{- $selector := .namespaceSelector | default dict }}
    {{- range $key, $value := $selector.matchLabels }} && variables.namespace_labels[?{{ $key | toJson }}] == optional.of({{ $value | toJson }})
    {{- end }}
    {{- range $selector.matchExpressions }} && {{ include "pull-secret-webhook.guardRequirement" . }}
    {{- end }}
    {{- range include "pull-secret-webhook.sources" (dict "root" $ "sources" .sources) | fromJsonArray }}{{ with .namespaces }} && request.namespace.matches({{ include "pull-secret-webhook.guardPatterns" . }})
    {{- end }}{{ end }}
    {{- if $.Values.optIn.mayDecline }} && !({{ .name | toJson }} in variables.declined)
    {{- end }}
    {{- end }}
    }
{{- end -}}

{{/* CEL: whether the labels of the namespace meet one entry of matchExpressions. */}}
{{- define "pull-secret-webhook.guardRequirement" -}}
{{- $there := printf "%s in variables.namespace_labels" (toJson .key) -}}
{{- $among := printf "variables.namespace_labels[%s] in %s" (toJson .key) (toJson (.values | default list)) -}}
{{- if eq .operator "Exists" }}{{ $there }}
{{- else if eq .operator "DoesNotExist" }}!({{ $there }})
{{- else if eq .operator "In" }}{{ $there }} && {{ $among }}
{{- else if eq .operator "NotIn" }}!({{ $there }} && {{ $among }})
{{- else }}{{ fail (printf "namespaceSelector.matchExpressions: there is no operator %q" .operator) }}
{{- end -}}
{{- end -}}

{{/* CEL: a regular expression (RE2) that matches what one of the shell-style patterns matches, as Python's fnmatch reads them. */}}
{{- define "pull-secret-webhook.guardPatterns" -}}
{{- $alternatives := list -}}
{{- range . }}{{ $alternatives = append $alternatives (include "pull-secret-webhook.guardPattern" .) }}{{ end -}}
r"^(?:{{ $alternatives | join "|" }})$"
{{- end -}}

{{- define "pull-secret-webhook.guardPattern" -}}
{{- range regexFindAll `\[!\][^\]]*\]|\[\][^\]]*\]|\[![^\]]+\]|\[[^\]!][^\]]*\]|.` . -1 -}}
{{- if eq . "*" }}.*
{{- else if eq . "?" }}.
{{- else if eq (len .) 1 }}{{ regexQuoteMeta . }}
{{- else -}}
{{- $negated := hasPrefix "[!" . -}}
{{- $members := "" -}}
{{- range regexFindAll `.-.|.` (. | trimPrefix "[" | trimPrefix ($negated | ternary "!" "") | trimSuffix "]") -1 -}}
{{- if eq (len .) 1 -}}
{{- $members = printf "%s\\%s" $members . -}}
{{- else if le (substr 0 1 .) (substr 2 3 .) -}}
{{- $members = printf "%s\\%s-\\%s" $members (substr 0 1 .) (substr 2 3 .) -}}
{{- end -}}
{{- end -}}
{{- $members = regexReplaceAll `\\([a-z0-9])` $members "${1}" -}}
{{- if $members }}[{{ $negated | ternary "^" "" }}{{ $members }}]
{{- else }}{{ $negated | ternary "." "[^\\x00-\\x{10FFFF}]" }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* CEL: whether a Secret has the labels by which a copy of this release is known. The argument is {root, object}. */}}
{{- define "pull-secret-webhook.guardOurs" -}}
{{- $labels := printf "%s.metadata.?labels" .object -}}
{{ $labels }}[?"app.kubernetes.io/managed-by"].orValue("") == "pull-secret-webhook" &&
{{ $labels }}[?"pullsecrets.webhook/release"].orValue("") == {{ .root.Release.Name | toJson }} &&
{{ $labels }}[?"pullsecrets.webhook/release-namespace"].orValue("") == {{ include "pull-secret-webhook.namespace" .root | toJson }}
{{- end -}}

{{/*
CEL variables for the labels and annotations that the caller itself sets, beside those that it is allowed to set. The argument is
{root, labels, annotations}: CEL conditions on `key` for those that it may.

Other people's mutating policies and webhooks change the same object in the same request, before this policy sees it.
managedFields distinguish the two: the API server records there what the caller writes, before it calls any of them.
Fields that they add have no owner. On an object without managedFields it notes nothing; there nothing is taken for theirs.
*/}}
{{- define "pull-secret-webhook.guardCallerWrites" -}}
- name: before
  expression: "oldObject == null ? dyn({}) : dyn(oldObject).metadata"
- name: managers
  expression: dyn(object).metadata.?managedFields.orValue([])
{{- range $field, $allowed := dict "labels" .labels "annotations" .annotations }}
- name: {{ $field }}
  expression: dyn(object).metadata.?{{ $field }}.orValue({})
- name: {{ $field }}Before
  expression: variables.before.?{{ $field }}.orValue({})
- name: {{ $field }}ByCaller
  expression: >-
    variables.{{ $field }} == variables.{{ $field }}Before ? [] :
    variables.{{ $field }}.filter(key, !(key in variables.{{ $field }}Before) ||
    variables.{{ $field }}Before[key] != variables.{{ $field }}[key]).filter(key, !({{ $allowed }}) &&
    {{- with $.root.Values.guard.othersMayAdd }}
    !key.matches({{ include "pull-secret-webhook.guardKeys" . }}) &&
    {{- end }}
    (variables.managers.size() == 0 || variables.managers.exists(entry,
    ("f:" + key) in entry.?fieldsV1[?"f:metadata"][?{{ printf "f:%s" $field | toJson }}].orValue({}))))
{{- end }}
- name: byCaller
  expression: >-
    variables.labelsByCaller.map(key, "label " + key) + variables.annotationsByCaller.map(key, "annotation " + key)
{{- end -}}

{{/* CEL: a regular expression that matches the keys that guard.othersMayAdd names. */}}
{{- define "pull-secret-webhook.guardKeys" -}}
{{- $alternatives := list -}}
{{- range . }}{{ $alternatives = append $alternatives (regexQuoteMeta . | replace `\*` ".*") }}{{ end -}}
r"^(?:{{ $alternatives | join "|" }})$"
{{- end -}}

{{/*
The validations that go with them. The argument is {object, writes}: what the object is called, and what of it is written.
A key that is named may be of a policy that changes what somebody owns: then the way out is guard.othersMayAdd.
*/}}
{{- define "pull-secret-webhook.guardMetadataRules" -}}
- expression: variables.byCaller.size() == 0
  message: {{ .writes | toJson }}
  messageExpression: >-
    {{ printf "%s: not the " .writes | toJson }} + variables.byCaller[0] + ", unless guard.othersMayAdd has its key"
  reason: Forbidden
- expression: >-
    dyn(object).metadata.?finalizers.orValue([]) == variables.before.?finalizers.orValue([]) &&
    dyn(object).metadata.?ownerReferences.orValue([]) == variables.before.?ownerReferences.orValue([])
  message: {{ printf "%s keeps its finalizers and ownerReferences as they are" .object | toJson }}
  reason: Forbidden
{{- end -}}
