from __future__ import annotations

import pytest

from kubeopencode.pod.failure import Failure
from kubeopencode.pod.opencode_api import Server, Unreachable


@pytest.mark.parametrize("url", ["agent:4096", "ftp://agent", "http://", "http://me:s3cret@agent:4096", "http://a:b"])
def test_an_address_that_is_none_is_refused_without_its_password(url):
    with pytest.raises(Failure) as caught:
        Server(url, username="opencode", password="p")

    assert "--attach" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="ConnectionRefusedError"):
        Server("http://127.0.0.1:1", username="opencode", password="").check_health()
