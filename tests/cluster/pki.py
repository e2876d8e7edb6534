"""The certificates and keys of one local cluster, as files.

Two authorities: one for the cluster (the API server and its clients), one for etcd, so that a client certificate made
for a test opens the API server and never the store behind it. Keys are readable by their owner only.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=365)
BACKDATED = dt.timedelta(minutes=5)
"""How far ``notBefore`` lies in the past, for clocks that are set back a little while a cluster runs."""

SERVING_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
LOOPBACK = ipaddress.ip_address("127.0.0.1")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority that writes what it signs into one directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        certificate = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = directory / f"{name}.crt"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        file: str,
        common_name: str,
        groups: Sequence[str] = (),
        service_ip: str | None = None,
        hosts: Sequence[str] = (),
    ) -> Pair:
        """Issue a certificate for loopback, good for serving and for a client with that user name and those groups."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        addresses = [LOOPBACK] + ([ipaddress.ip_address(service_ip)] if service_ip else [])
        dns = [x509.DNSName(name) for name in (*SERVING_NAMES, *hosts)]
        names = [*dns, *(x509.IPAddress(address) for address in addresses)]
        certificate = (
            _builder(_name(common_name, groups), self._name, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self._directory / f"{file}.crt"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return Pair(path, write_key(self._directory / f"{file}.key", key))


@dataclass(frozen=True, slots=True)
class Pki:
    """The files of one cluster; ``authority`` signs further clients."""

    authority: Authority
    ca: Path
    api_server: Pair
    admin: Pair
    controller_manager: Pair
    etcd_ca: Path
    etcd: Pair
    service_account_key: Path


def create(directory: Path, service_ip: str) -> Pki:
    """Make everything that a control plane on loopback needs; takes a few milliseconds."""
    cluster, etcd = Authority(directory, "ca"), Authority(directory, "etcd-ca")
    return Pki(
        authority=cluster,
        ca=cluster.certificate,
        api_server=cluster.issue("kube-apiserver", "kube-apiserver", service_ip=service_ip),
        admin=cluster.issue("admin", "admin", groups=["system:masters"]),
        controller_manager=cluster.issue("kube-controller-manager", "system:kube-controller-manager"),
        etcd_ca=etcd.certificate,
        etcd=etcd.issue("etcd", "etcd"),
        service_account_key=write_key(directory / "service-accounts.key", ec.generate_private_key(ec.SECP256R1())),
    )


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    """Write a private key that only its owner can read."""
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return path


def _name(common_name: str, groups: Sequence[str] = ()) -> x509.Name:
    # Kubernetes reads the user from the common name and the groups from the organizations.
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - BACKDATED,
        not_valid_after=now + LIFETIME,
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
