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
{{- $name := include (printf "pull-secret-webhook.%sName" .component) .root -}}
{{ printf "system:serviceaccount:%s:%s" (include "pull-secret-webhook.namespace" .root) $name | toJson }}
{{- end -}}

{{/* CEL: whether the namespace of the request has opted in, and is not excluded. */}}
{{- define "pull-secret-webhook.guardSelected" -}}
!(request.namespace in {{ append .Values.excludedNamespaces (include "pull-secret-webhook.namespace" .) | uniq | toJson }}) &&
namespaceObject.metadata.?labels[?{{ .Values.optIn.label | toJson }}].orValue("") == {{ .Values.optIn.value | toJson }}
{{- end -}}

{{/* CEL: whether a Secret has the labels by which a copy of this release is known. The argument is {root, object}. */}}
{{- define "pull-secret-webhook.guardOurs" -}}
{{- $labels := printf "%s.metadata.?labels" .object -}}
{{ $labels }}[?"app.kubernetes.io/managed-by"].orValue("") == "pull-secret-webhook" &&
{{ $labels }}[?"pullsecrets.webhook/release"].orValue("") == {{ .root.Release.Name | toJson }} &&
{{ $labels }}[?"pullsecrets.webhook/release-namespace"].orValue("") == {{ include "pull-secret-webhook.namespace" .root | toJson }}
{{- end -}}
