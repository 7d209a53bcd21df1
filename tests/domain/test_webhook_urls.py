"""Which URLs webhooks may go to: everything hostile that is known, and what must pass (webhooks.md 1.2)."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.webhook_urls import (
    HTTPS_URL,
    PUBLIC_HOST,
    RESOLVABLE_HOST,
    Reach,
    UrlFlaw,
    parse_target,
    reach_of,
    require_reachable,
)

PUBLIC_URLS = """
https://example.com
https://example.com/
https://example.com/hooks?a=1&b=%20
https://EXAMPLE.com/x
https://example.com./x
https://example.com:8443/x
https://example.com:1/x
https://example.com:/x
HTTPS://example.com?x
https://example.com:65535/x
https://a.b.c.d.e.example.co.uk/x
https://xn--bcher-kva.example/x
https://under_score.example.com/x
https://3com.example/x
https://1.2.3.4.example.com/x
https://localhost.example.com/x
https://local.example.com/x
https://notlocalhost/x
https://internal.com/x
https://mylocal/x
https://8.8.8.8/x
https://8.8.8.8:9443/x
https://1.1.1.1
https://100.63.255.255/
https://100.128.0.0/
https://9.255.255.255/
https://11.0.0.0/
https://172.15.255.255/
https://172.32.0.0/
https://192.167.255.255/
https://192.169.0.0/
https://169.253.255.255/
https://169.255.0.0/
https://126.255.255.255/
https://128.0.0.0/
https://223.255.255.255/
https://192.0.1.0/
https://[2606:4700:4700::1111]/x
https://[2001:4860:4860::8888]:8443/x
https://[::ffff:8.8.8.8]/x
https://[64:ff9b::808:808]/x
https://[2002:808:808::1]/x
https://[2a00:1450::5efe:808:808]/x
https://example.com/@user
https://example.com/?u=a@b
https://example.com/http://localhost/
https://example.com/%23fragment
""".strip().splitlines()

NO_URLS = """
http://example.com/x
HTTP://example.com/x
ftp://example.com/x
file:///etc/passwd
gopher://example.com/
javascript:alert(1)
data:text/plain,x
ws://example.com/
unix:/var/run/x.sock
//example.com/x
/x
example.com
example.com:443/x
https:
https:/
https://
https:///x
https:example.com
https:/example.com
https://:443/x
https://user@example.com/
https://user:password@example.com/
https://@example.com/
https://:@example.com/
https://example.com@127.0.0.1/
https://127.0.0.1@example.com/
https://a@b@example.com/
https://example.com#fragment
https://example.com/#
https://example.com/x#y
https://example.com:0/
https://example.com:65536/
https://example.com:-1/
https://example.com:abc/
https://example.com:80:80/
https://example.com:%34%34/
https://exa%6dple.com/
https://127.0.0.1%00.example.com/
https://%6c%6f%63alhost/
https://ex ample.com/
\x20https://example.com/
https://example.com/\x20
https://example.com\\@127.0.0.1/
https:\\\\example.com/
https://example.com/a\\b
https://example.com/<x>
https://example.com/"x"
https://example.com/{x}
https://example.com/^
https://example.com/`
https://example.com/|
https://b\u00fccher.example/
https://example.com/\u00fc
https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/
https://\uff11\uff12\uff17.0.0.1/
https://127\u30020\u30020\u30021/
https://a..b/
https://.example.com/
https://example.com../
https://-example.com/
https://example-.com/
https://*.example.com/
https://exam,ple.com/
https://exam$ple.com/
https://[::1/
https://::1]/
https://::1/
https://[]/
https://[zz::1]/
https://[127.0.0.1]/
https://[example.com]/
https://[v1.fe80::a]/
https://[::1]x/
https://x[::1]/
https://2606:4700::1111/
https://[2606:4700::1111]x/
https://x[2606:4700::1111]/
https://[2606:4700::1111%25eth0]/
https://[2606:4700::1111]8443/
https://8.8.8.8:/../:x:/#
https://example.com:8_0/
https://example.com:+80/
""".strip().splitlines()

CONTROLS = [
    f"https://example.com{text}"
    for text in ("/a\tb", "/a\nb", "/\n", "\n", "/a\r\nHost:x", "/\x00", "\x00.evil.com/", "/\x7f", "/\u2028")
]

NOT_PUBLIC_URLS = """
https://localhost/
https://LOCALHOST/
https://localhost./
https://localhost:8443/
https://a.localhost/
https://a.b.LocalHost/
https://printer.local/
https://printer.local./
https://local/
https://metadata.google.internal/
https://internal/
https://api.svc.internal/
https://127.0.0.1/
https://127.0.0.1./
https://127.0.0.1:8443/
https://127.1.2.3/
https://127.255.255.255/
https://0.0.0.0/
https://0.1.2.3/
https://10.0.0.0/
https://10.1.2.3/
https://10.255.255.255/
https://100.64.0.0/
https://100.100.100.200/
https://100.127.255.255/
https://169.254.0.0/
https://169.254.169.254/latest/meta-data/
https://169.254.170.2/
https://169.254.255.255/
https://172.16.0.0/
https://172.20.10.1/
https://172.31.255.255/
https://192.168.0.0/
https://192.168.1.1/
https://192.168.255.255/
https://192.0.0.1/
https://192.0.0.192/
https://192.0.2.1/
https://192.88.99.1/
https://198.18.0.1/
https://198.19.255.255/
https://198.51.100.1/
https://203.0.113.1/
https://224.0.0.1/
https://239.255.255.250/
https://240.0.0.1/
https://255.255.255.255/
https://2130706433/
https://134744072/
https://0x7f000001/
https://0x7f.0.0.1/
https://0X7F.1/
https://127.1/
https://127.0.1/
https://0177.0.0.1/
https://017700000001/
https://127.0.0.01/
https://127.0.0.0x1/
https://127.0.0.1.1/
https://8.8.8.08/
https://8.8.8/
https://0/
https://0x/
https://1.2.3.256/
https://999.999.999.999/
https://example.1/
https://example.0x7f/
https://[::]/
https://[::1]/
https://[0:0:0:0:0:0:0:1]/
https://[0000:0000:0000:0000:0000:0000:0000:0001]/
https://[::2]/
https://[::127.0.0.1]/
https://[::8.8.8.8]/
https://[::ffff:127.0.0.1]/
https://[::ffff:7f00:1]/
https://[0:0:0:0:0:ffff:7f00:1]/
https://[::FFFF:10.0.0.1]/
https://[::ffff:169.254.169.254]/
https://[::ffff:100.64.0.1]/
https://[::ffff:0.0.0.0]/
https://[::ffff:0:127.0.0.1]/
https://[::ffff:0:8.8.8.8]/
https://[64:ff9b::127.0.0.1]/
https://[64:ff9b::a00:1]/
https://[64:ff9b::169.254.169.254]/
https://[64:ff9b:1::8.8.8.8]/
https://[64:ff9b:1::1]/
https://[2002:7f00:1::]/
https://[2002:a00:1::1]/
https://[2002:c0a8:101::1]/
https://[2002:a9fe:a9fe::1]/
https://[2001::1]/
https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/
https://[2001:2::1]/
https://[2001:10::1]/
https://[2001:20::1]/
https://[2001:db8::1]/
https://[3fff::1]/
https://[2a00:1450::5efe:127.0.0.1]/
https://[2a00:1450::200:5efe:10.0.0.1]/
https://[fc00::1]/
https://[fd00:ec2::254]/
https://[fdff:ffff::1]/
https://[fe80::1]/
https://[febf::1]/
https://[fec0::1]/
https://[ff02::1]/
https://[ff05::2]/
https://[100::1]/
https://[5f00::1]/
https://[4000::1]/
https://[8000::1]/
https://[1::1]/
""".strip().splitlines()


def flaw_of(url: str, *, is_private_allowed: bool = False) -> str | None:
    try:
        parse_target(url, is_private_allowed=is_private_allowed)
    except UrlFlaw as flaw:
        return flaw.expected
    return None


def test_the_tables_are_long() -> None:
    hostile = NO_URLS + CONTROLS + NOT_PUBLIC_URLS
    assert len(hostile) == len(set(hostile))
    assert len(hostile) >= 200
    assert len(PUBLIC_URLS) >= 40


@pytest.mark.parametrize("url", PUBLIC_URLS)
def test_public(url: str) -> None:
    assert flaw_of(url) is None
    assert flaw_of(url, is_private_allowed=True) is None


@pytest.mark.parametrize("url", [*NO_URLS, *CONTROLS, "", "https://" + "a." * 130 + "com/", "https://" + "a" * 64 + ".com/"])
def test_no_https_url(url: str) -> None:
    assert flaw_of(url) == HTTPS_URL


@pytest.mark.parametrize("url", NOT_PUBLIC_URLS)
def test_no_public_host(url: str) -> None:
    assert flaw_of(url) == PUBLIC_HOST


def test_length() -> None:
    start = "https://example.com/"
    assert flaw_of(start + "a" * (2048 - len(start))) is None
    assert flaw_of(start + "a" * (2049 - len(start))) == HTTPS_URL


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "http://localhost:8080/x",
        "http://a.localhost/",
        "https://printer.local/",
        "https://x.internal/",
        "http://127.0.0.1:9000/x",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://[::1]:9000/",
        "http://[fd00::1]/",
        "http://[::ffff:127.0.0.1]/",
    ],
)
def test_what_development_permits(url: str) -> None:
    assert flaw_of(url, is_private_allowed=True) is None
    assert flaw_of(url) is not None


@pytest.mark.parametrize(
    "url",
    [
        "ftp://localhost/",
        "http://user@localhost/",
        "http://localhost/#x",
        "http://2130706433/",
        "http://127.1/",
        "http://0.0.0.0/",
        "http://169.254.169.254/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://[ff02::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::169.254.169.254]/",
    ],
)
def test_what_nobody_may(url: str) -> None:
    assert flaw_of(url, is_private_allowed=True) is not None


def test_the_target() -> None:
    named = parse_target("https://EXAMPLE.com.:8443/x")
    assert (named.scheme, named.host, named.port, named.address) == ("https", "example.com", 8443, None)
    literal = parse_target("https://[2606:4700::1111]")
    assert (literal.host, literal.port, literal.address) == ("2606:4700::1111", 443, IPv6Address("2606:4700::1111"))
    assert parse_target("https://8.8.8.8/").address == IPv4Address("8.8.8.8")
    assert parse_target("http://localhost/", is_private_allowed=True).port == 80


class TestAddresses:
    def test_every_one_must_be_public(self) -> None:
        require_reachable(["8.8.8.8", "2606:4700::1111"])
        for hidden in ("127.0.0.1", "10.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "64:ff9b::a00:1"):
            with pytest.raises(UrlFlaw) as caught:
                require_reachable(["8.8.8.8", hidden])
            assert caught.value.expected == PUBLIC_HOST

    def test_there_must_be_one(self) -> None:
        with pytest.raises(UrlFlaw) as caught:
            require_reachable([])
        assert caught.value.expected == RESOLVABLE_HOST

    def test_development_permits_private_ones(self) -> None:
        require_reachable(["8.8.8.8", "127.0.0.1", "::1", "192.168.0.1"], is_private_allowed=True)
        with pytest.raises(UrlFlaw):
            require_reachable(["127.0.0.1", "169.254.169.254"], is_private_allowed=True)

    @given(st.ip_addresses(v=4))
    def test_no_address_is_more_than_the_standard_library_thinks(self, address: IPv4Address) -> None:
        if reach_of(address) is Reach.PUBLIC:
            assert address.is_global
            assert not address.is_multicast

    @given(st.ip_addresses(v=6))
    def test_nor_one_of_the_new_kind(self, address: IPv6Address) -> None:
        if reach_of(address) is Reach.PUBLIC:
            assert address.is_global
            assert not address.is_multicast

    @given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "64:ff9b::{}"]))
    def test_a_form_of_an_address_reaches_what_it_does(self, address: IPv4Address, form: str) -> None:
        assert reach_of(ip_address(form.format(address))) is reach_of(address)

    @given(st.ip_addresses(v=4))
    def test_the_other_forms_never_reach_more(self, address: IPv4Address) -> None:
        number = int(address)
        forms = [(0x2002 << 112) | (number << 80) | 1, (0x2A00 << 112) | (0x5EFE << 32) | number, number]
        if reach_of(address) is not Reach.PUBLIC:
            assert Reach.PUBLIC not in {reach_of(IPv6Address(form)) for form in forms}
