"""Certificates for mutual TLS between the processes: an authority of the cluster's own, and one certificate a process.

Each is good for `localhost`, 127.0.0.1 and the process's name, and says the process in its common name and the process's role
(`service`, `gateway`, `agent`) in its organizational unit. All of them call and are called (`serverAuth`, `clientAuth`). The name
`agent.gyre.internal` makes a certificate one of an agent: agents fetch images from each other, and are no members of the mesh,
since a host that was broken into must not be one.
"""

import subprocess
from pathlib import Path

from . import Trouble
from .layout import Layout

AGENT_NAME = "agent.gyre.internal"
DAYS = "730"
# Made anew where less than this is left.
SECONDS_LEFT = str(30 * 86400)


def _openssl(*arguments: str, stdin: str = "") -> None:
    try:
        subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise Trouble("openssl is not installed (Debian: apt-get install openssl)") from error
    except subprocess.CalledProcessError as error:
        raise Trouble(f"openssl {arguments[0]} failed: {error.stderr.strip()}") from error


def _key(path: Path) -> None:
    path.touch(mode=0o600)
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(path))
    path.chmod(0o600)


def _good(certificate: Path, authority: Path) -> bool:
    if not certificate.exists():
        return False
    checks = (
        ["x509", "-in", str(certificate), "-noout", "-checkend", SECONDS_LEFT],
        ["verify", "-CAfile", str(authority), str(certificate)],
    )
    return all(subprocess.run(["openssl", *check], capture_output=True, check=False).returncode == 0 for check in checks)


def names(layout: Layout, name: str) -> str:
    addresses = dict.fromkeys(["127.0.0.1", layout.ip(name)])
    return ",".join(["DNS:localhost", f"DNS:{name}", *(f"IP:{address}" for address in addresses)])


def make(layout: Layout) -> int:
    """Makes what is missing or about to end; answers how many certificates were made."""
    at = layout.certificates
    at.mkdir(parents=True, exist_ok=True)
    at.chmod(0o700)
    authority, authority_key = at / "ca.pem", at / "ca.key"
    made = 0
    if not (authority_key.exists() and _good(authority, authority)):
        _key(authority_key)
        _openssl(
            *("req", "-x509", "-new", "-key", str(authority_key), "-out", str(authority), "-days", DAYS),
            *("-subj", "/O=Gyre/CN=Gyre development cluster"),
            *("-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )
        made += 1
    for name, role in layout.identities().items():
        certificate, key, request = at / f"{name}.pem", at / f"{name}.key", at / f"{name}.csr"
        if key.exists() and _good(certificate, authority):
            continue
        _key(key)
        _openssl("req", "-new", "-key", str(key), "-out", str(request), "-subj", f"/O=Gyre/OU={role}/CN={name}")
        extensions = at / f"{name}.ext"
        agent = f",DNS:{AGENT_NAME}" if role == "agent" else ""
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\n"
            "extendedKeyUsage=serverAuth,clientAuth\n"
            f"subjectAltName={names(layout, name)}{agent}\n"
            "subjectKeyIdentifier=hash\n"
            "authorityKeyIdentifier=keyid\n"
        )
        _openssl(
            *("x509", "-req", "-in", str(request), "-out", str(certificate), "-days", DAYS, "-extfile", str(extensions)),
            *("-CA", str(authority), "-CAkey", str(authority_key), "-CAcreateserial"),
        )
        request.unlink()
        extensions.unlink()
        made += 1
    return made
