{{/*
Metadata and rules stand in the templates of each identity; what binds them is the same for all. The argument is
{root, component}: the component's ClusterRole, or Role, has the name of its ServiceAccount.
*/}}
{{- define "pull-secret-webhook.roleMetadata" -}}
{{- include "pull-secret-webhook.metadata" (merge (dict "clusterWide" true) .) -}}
{{- end -}}

{{- define "pull-secret-webhook.clusterRoleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "pull-secret-webhook.roleMetadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include (printf "pull-secret-webhook.%sName" .component) .root }}
subjects:
  {{- include "pull-secret-webhook.subject" . | nindent 2 }}
{{- end -}}

{{- define "pull-secret-webhook.roleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "pull-secret-webhook.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include (printf "pull-secret-webhook.%sName" .component) .root }}
subjects:
  {{- include "pull-secret-webhook.subject" . | nindent 2 }}
{{- end -}}

{{- define "pull-secret-webhook.subject" -}}
- kind: ServiceAccount
  name: {{ include (printf "pull-secret-webhook.%sName" .component) .root }}
  namespace: {{ include "pull-secret-webhook.namespace" .root | quote }}
{{- end -}}

{{/* The annotations of what the Job of cleanup runs as. */}}
{{- define "pull-secret-webhook.cleanupRights" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end -}}
