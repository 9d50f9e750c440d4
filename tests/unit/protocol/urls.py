"""URLs that were made to be misread."""

from __future__ import annotations

from hypothesis import strategies as st

_PRINTABLE = """
https://api.icloud.apple.com@evil.com/ https://user:pw@api.icloud.apple.com/ https://api.icloud.apple.com:443@evil.com/
https://evil.com\\@api.icloud.apple.com/ https://evil.com\\.apple.com/ https://api.icloud.apple.com/a\\b
https://evil.com#.apple.com/ https://evil.com?.apple.com/ https://evil.com;.apple.com/ https://evil.com%2f.apple.com/
https:/api.icloud.apple.com/ https:api.icloud.apple.com/ https:///api.icloud.apple.com/ https:\\\\api.icloud.apple.com/
//api.icloud.apple.com/ /v1/status/1 https://api.icloud.apple.com./ https://.apple.com/ https://api..apple.com/
https://аpple.com/ https://apple。com/ https://api.icloud.apple.com／.evil.com/ https://api.icloud.apple.ⓒom/
https://%61pple.com/ https://[::1/ https://[::1]evil.com/ https://[::1]@evil.com/ https://[::ffff:7f00:1]/
https://[fe80::1%25eth0]/ https://api.icloud.apple.com:99999/ https://api.icloud.apple.com:0/
https://api.icloud.apple.com:/ https://api.icloud.apple.com:443:80/ https://api.icloud.apple.com:４４３/
https://api.icloud.apple.com:-443/ https://api.icloud.apple.com/ü ftp://api.icloud.apple.com/ file:///etc/passwd
javascript:alert(1) https
"""  # noqa: RUF001

# Every trick that has fooled a URL parser into another host than the one that was checked.
TRICKS = [
    *_PRINTABLE.split(),
    "",
    " https://api.icloud.apple.com/",
    "https://api.icloud.apple.com /",
    "https://api.icloud.\u212aapple.com/",
    "https://api.icloud.apple.com/ HTTP/1.1\r\nHost: evil.com\r\n\r\n",
    *(f"https://evil.com{character}.apple.com/" for character in "\x00\t\n\r\x7f"),
    f"https://{'a' * 64}.apple.com/",
    f"https://{'a.' * 125}apple.com/",
    f"https://api.icloud.apple.com/{'a' * 9000}",
]

_hosts = st.one_of(
    st.sampled_from(["api.icloud.apple.com", "evil.com", "[::1]", "127.0.0.1", "localhost", "xn--pple-43d.com", ""]),
    st.text(alphabet="aZ09.-_:@%[]\\/#?;ß。\t\n ", max_size=12),
)
_parts = (
    st.sampled_from(["https", "http", "HTTPS", "file", "https:", "", "ws"]),
    st.sampled_from(["://", ":/", "://user@", "://user:pw@", ":\\\\", "://\\", "//"]),
    _hosts,
    st.sampled_from(["", ".", ".apple.com", "\\.apple.com", "@api.icloud.apple.com", "%2eapple.com"]),
    st.sampled_from(["", ":443", ":0443", ":80", ":", ":0", ":65536", ":x", "@x"]),
    st.sampled_from(["", "/", "/a?b#c", "?b", "#c", "/\\", "/@evil.com", "/ü", "/ ", "/%0d%0a", "//evil.com", "/../x"]),
)
urls = st.builds("".join, st.tuples(*_parts)) | st.text(max_size=40)
