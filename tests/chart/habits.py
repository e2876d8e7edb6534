"""Values files as people write them who know the charts of external-secrets, cert-manager and kyverno.

Each renders, or fails with one sentence that names the value and what to write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

MINIMAL = """
image: {repository: registry.example.com/platform/pull-secret-webhook}
pullSecrets:
  - {name: registry-credentials, sources: [harbor]}
"""
"""The two values that the chart requires; each file below is written underneath."""


class Refused(NamedTuple):
    """A values file, and what the sentence of its refusal has."""

    file: str
    words: tuple[str, ...]


RENDERED: Mapping[str, str] = {
    "the README": "",
    "several registries": """
pullSecrets:
  - name: registry-credentials
    sources: [harbor, {secretName: ghcr, namespaces: ["team-*"]}]
  - name: vendor-credentials
    sources: [vendor]
    namespaceSelector: {matchLabels: {department: payments}}
    pods: WhenImageMatches
    registries: [registry.vendor.example]
""",
    "a mirror for all images": """
global: {imageRegistry: "mirror.example.com:5000", imagePullSecrets: [mirror]}
image: {repository: platform/pull-secret-webhook, tag: 1.2.3}
""",
    "registry and repository apart": """
image: {registry: ghcr.io, repository: example/pull-secret-webhook, pullPolicy: Always}
imagePullSecrets: [ghcr, {name: mirror}]
""",
    "an image that was loaded onto the nodes of kind": "image: {registry: localhost, repository: pull-secret-webhook}",
    "workload identity": """
sync:
  serviceAccount: {annotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::123456789012:role/pull-secrets"}}
""",
    "an existing identity and its own rights": """
rbac: {create: false}
webhook: {serviceAccount: {create: false, name: pull-secrets-webhook}}
sync: {serviceAccount: {create: false, name: pull-secrets-sync}}
cleanup: {serviceAccount: {create: false, name: pull-secrets-cleanup}}
""",
    "a projected token instead of the mounted one": """
webhook:
  serviceAccount: {automount: false}
  extraVolumes:
    - {name: token, projected: {sources: [{serviceAccountToken: {path: token, expirationSeconds: 600}}]}}
  extraVolumeMounts: [{name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}]
""",
    "production": """
webhook:
  replicas: 3
  failurePolicy: Fail
  priorityClassName: system-cluster-critical
  resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 512Mi}}
  podDisruptionBudget: {minAvailable: 2}
""",
    "the failure policy of one kind": "webhook: {failurePolicy: {pods: Fail}}",
    "control-plane nodes": """
webhook: &pods
  nodeSelector: {node-role.kubernetes.io/control-plane: ""}
  tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule}]
sync: *pods
""",
    "one replica of each, replaced without a second one": """
webhook: {replicas: 1, updateStrategy: {type: Recreate}}
sync: {replicas: 1, updateStrategy: {type: Recreate}}
""",
    "slow nodes": """
webhook:
  startupProbe: {periodSeconds: 5, failureThreshold: 60}
  livenessProbe: {timeoutSeconds: 10}
  readinessProbe: {initialDelaySeconds: 5, periodSeconds: 10}
  terminationGracePeriodSeconds: 60
""",
    "DNS and hosts": """
sync:
  dnsPolicy: None
  dnsConfig: {nameservers: [10.0.0.10], options: [{name: ndots, value: "1"}]}
  hostAliases: [{ip: 10.0.0.1, hostnames: [harbor.example.com]}]
""",
    "a sandbox and a scheduler of its own": "webhook: {runtimeClassName: gvisor, schedulerName: bin-packing}",
    "the roots of the company from an init container": """
sync: &pods
  extraEnv: [{name: SSL_CERT_FILE, value: /roots/ca.crt}]
  extraVolumes: [{name: roots, emptyDir: {}}]
  extraVolumeMounts: [{name: roots, mountPath: /roots}]
  initContainers:
    - {name: roots, image: registry.example.com/roots:1, volumeMounts: [{name: roots, mountPath: /roots}]}
webhook: *pods
""",
    "a proxy beside the webhook": """
webhook: {extraContainers: [{name: mesh, image: "registry.example.com/mesh:1"}]}
""",
    "dual stack": "webhook: {service: {ipFamilies: [IPv4, IPv6], annotations: {example.com/team: platform}}}",
    "a ServiceMonitor": """
monitoring:
  serviceMonitor: {enabled: true, interval: 15s, labels: {release: kube-prometheus-stack}}
  prometheusRule: {enabled: true, labels: {release: kube-prometheus-stack}}
  dashboard: {enabled: true}
""",
    "cert-manager with an issuer of the company": """
certificates: {mode: cert-manager, lifetime: 90d, issuerRef: {name: company, kind: ClusterIssuer}}
webhook: {annotations: {example.com/owner: platform}}
""",
    "Argo CD": """
webhook: {annotations: {argocd.argoproj.io/sync-options: ServerSideApply=true}}
commonLabels: {app.kubernetes.io/part-of: platform}
""",
    "a trial with the credential in the values": """
sourceSecrets: [{name: harbor, registry: registry.example.com, username: "robot$team", password: 'a,b\\c"1'}]
""",
    "rights for one group of people": "reader: {groups: [oidc:developers]}",
    "nothing yet": "pullSecrets: []\nallowNoPullSecrets: true",
}
"""Files that render, by what they are for."""

REFUSED: Mapping[str, Refused] = {
    "no image": Refused("image: null", ("image",)),
    "the image left at its default": Refused(
        "image: {repository: pull-secret-webhook}", ("image.repository", "registry.example.com/platform", "localhost/")
    ),
    "the image as one string with its tag": Refused(
        "image: {repository: 'registry.example.com/psw:1.2'}", ("image.repository", "image.tag")
    ),
    "a tag that YAML takes for a number": Refused("image: {tag: 1.2}", ("image.tag", "quotes")),
    "a registry with its scheme": Refused(
        "image: {registry: 'https://registry.example.com'}", ("image.registry", "without https://")
    ),
    "no pull secret": Refused("pullSecrets: []", ("pullSecrets", "sources: [harbor]", "allowNoPullSecrets")),
    "external-secrets: replicaCount": Refused(
        "replicaCount: 2", ("replicaCount: set webhook.replicas and sync.replicas",)
    ),
    "external-secrets: installCRDs": Refused("installCRDs: true", ("installCRDs: leave it out",)),
    "external-secrets: certController": Refused(
        "certController: {replicaCount: 1}", ("certController: set certificates",)
    ),
    "external-secrets: serviceMonitor": Refused(
        "serviceMonitor: {enabled: true}", ("serviceMonitor: set monitoring.serviceMonitor",)
    ),
    "external-secrets: podDisruptionBudget": Refused(
        "podDisruptionBudget: {enabled: true}",
        ("podDisruptionBudget: set webhook.podDisruptionBudget and sync.podDisruptionBudget",),
    ),
    "external-secrets: leaderElect": Refused("leaderElect: true", ("leaderElect: leave it out",)),
    "cert-manager: crds": Refused("crds: {enabled: true}", ("crds: leave it out",)),
    "cert-manager: prometheus": Refused(
        "prometheus: {servicemonitor: {enabled: true}}",
        ("prometheus: set monitoring.serviceMonitor or monitoring.podMonitor",),
    ),
    "cert-manager: cainjector": Refused("cainjector: {enabled: false}", ("cainjector: leave it out",)),
    "cert-manager: global.logLevel": Refused("log: {level: 2}", ("log.level", "debug", "info", "warning", "error")),
    "cert-manager: strategy": Refused(
        "webhook: {strategy: {type: Recreate}}", ("webhook.strategy", "webhook.updateStrategy")
    ),
    "kyverno: admissionController": Refused(
        "admissionController: {replicas: 3}", ("admissionController: set webhook",)
    ),
    "kyverno: excludeNamespaces": Refused(
        "excludeNamespaces: [kube-system]", ("excludeNamespaces", "excludedNamespaces")
    ),
    "kyverno: the image with a name": Refused("image: {name: psw}", ("image.name: set image.repository",)),
    "the pull secrets of the image under image": Refused(
        "image: {pullSecrets: [ours]}", ("image.pullSecrets: set imagePullSecrets",)
    ),
    "resources for everything": Refused(
        "resources: {limits: {memory: 1Gi}}",
        ("resources: set webhook.resources and sync.resources and cleanup.resources",),
    ),
    "a nodeSelector for everything": Refused(
        "nodeSelector: {pool: system}", ("nodeSelector: set webhook.nodeSelector and sync.nodeSelector",)
    ),
    "tolerations under the wrong name": Refused(
        "webhook: {toleration: []}", ("webhook.toleration", "webhook.tolerations")
    ),
    "a variable": Refused("sync: {env: [{name: HTTPS_PROXY, value: x}]}", ("sync.env", "sync.extraEnv")),
    "a typing error": Refused("webhok: {replicas: 3}", ("webhok", "did you mean webhook?")),
    "two letters in the wrong order": Refused("optIn: {lable: team}", ("optIn.lable", "did you mean optIn.label?")),
    "logLevel": Refused("logLevel: debug", ("logLevel: set log.level",)),
    "a source by its usual name": Refused(
        "pullSecrets: [{name: x, sources: [{name: harbor}]}]", ("pullSecrets[0].sources[0].name", "secretName")
    ),
    "one source": Refused(
        "pullSecrets: [{name: x, source: harbor}]", ("pullSecrets[0].source", "pullSecrets[0].sources")
    ),
    "no source": Refused("pullSecrets: [{name: x}]", ("pullSecrets[0].sources: is missing; write",)),
    "a failure policy in small letters": Refused(
        "webhook: {failurePolicy: fail}", ("webhook.failurePolicy", "Ignore or Fail")
    ),
    "a duration in words": Refused("certificates: {lifetime: 90 days}", ("certificates.lifetime", "30d or 1h30m")),
    "a registry with its scheme in a pull secret": Refused(
        "pullSecrets: [{name: x, sources: [y], pods: WhenImageMatches, registries: ['https://ghcr.io']}]",
        ("pullSecrets[0].registries[0]", "without https://"),
    ),
    "both monitors": Refused(
        "monitoring: {podMonitor: {enabled: true}, serviceMonitor: {enabled: true}}",
        ("monitoring.serviceMonitor.enabled", "enable one of the two"),
    ),
    "a component switched off": Refused("sync: {enabled: false}", ("sync.enabled: leave it out",)),
}
"""Files that are refused, by the habit behind them."""
