"""When the tests of certificates begin, and who trusts whom."""

from __future__ import annotations

import datetime
import functools

from countercluster_operator.credentials.certificates import Pair
from cryptography import x509

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

MINUTE, DAY = datetime.timedelta(minutes=1), datetime.timedelta(days=1)


@functools.cache
def trusts(bundle: bytes, shown: Pair) -> bool:
    certificate = x509.load_pem_x509_certificate(shown.certificate)
    for root in x509.load_pem_x509_certificates(bundle):
        try:
            certificate.verify_directly_issued_by(root)
        except Exception:
            continue
        return True
    return False
